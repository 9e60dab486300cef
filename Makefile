# Each target is one line that the README shows too.
PYTHON ?= python3

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv && .venv/bin/pip install --quiet -c constraints.txt -e '.[test]' && touch $@

.PHONY: demo test test-kubernetes nightly-kubernetes lint bench nightly clean
demo: .venv/installed  ## the main job: one handler found guilty, one proved, with a report
	.venv/bin/onceproof demo

test: .venv/installed  ## all tests that need nothing but this machine
	.venv/bin/pytest

test-kubernetes: .venv/installed  ## those on a cluster: kubectl's current context, if its nodes are labelled for it
	.venv/bin/pytest tests/kubernetes -n 0 -rs $(ONLY)

nightly-kubernetes: .venv/installed  ## the same, and those that take hours
	ONCEPROOF_NIGHTLY=1 .venv/bin/pytest tests/kubernetes -n 0 -rs $(ONLY)

lint: .venv/installed  ## the part of the tests that reads the code instead of running it
	.venv/bin/pytest tests/tidy

bench: .venv/installed  ## everything, beside its peers, into results/published
	.venv/bin/onceproof bench --into results/published

# Called again, a matrix repeats what proved nothing; a cell that differs stays.
SEEDS = .venv/bin/onceproof matrix --seeds 20 --providers honours \
	--strategies article,for_update,insert_first --scenarios distinct_ids,row_absent

nightly: .venv/installed  ## mutates judges and screen (each must be noticed); all schedules; many seeds
	.venv/bin/python -m tests.mutate_checker
	.venv/bin/python -m tests.mutate_screen
	ONCEPROOF_EVERY_SCHEDULE=1 .venv/bin/pytest tests/e2e/test_explore.py -n 2
	ONCEPROOF_HISTORIES=1000 .venv/bin/pytest tests/unit/results/test_screen.py -o timeout=3600
	ONCEPROOF_INPUTS=100000 .venv/bin/pytest tests/service/test_fast_lane_differs.py -o timeout=3600
	ONCEPROOF_SEEDS=100 .venv/bin/pytest tests/service/test_strategies_interleaved.py -k random
	$(SEEDS) || $(SEEDS)

clean:
	rm -rf .venv results/runs
