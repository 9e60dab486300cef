"""The machinery under the scenario files: configuration, runner, search, commands."""
