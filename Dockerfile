# The worker and every other command of `freshet`.
#
#   docker build -t freshet .
#   docker build -t freshet --build-arg TORCH_INDEX=... .
#
# TORCH_INDEX is the package index to take torch from. The usual one has the CUDA build, several gigabytes that a
# machine without a GPU has no use for; PyTorch's own index has one for the CPU alone.

FROM python:3.12-slim AS wheel
WORKDIR /source
COPY pyproject.toml README.md constraints.txt ./
COPY stream stream
COPY learners learners
COPY connectors connectors
COPY monitoring monitoring
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.12-slim
ARG TORCH_INDEX=
ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PYTHONUNBUFFERED=1
COPY constraints.txt /tmp/constraints.txt
# A layer of its own: the largest dependency, and the one that changes least.
# What torch itself needs comes from the usual index below; others do not have it in the versions that are tested.
RUN pip install ${TORCH_INDEX:+--no-deps --index-url "$TORCH_INDEX"} --constraint /tmp/constraints.txt torch
COPY --from=wheel /wheels /tmp/wheels
RUN pip install --constraint /tmp/constraints.txt /tmp/wheels/*.whl \
    && useradd --uid 10001 --create-home --home-dir /home/freshet freshet \
    && install --directory --owner freshet --group freshet /var/lib/freshet
USER freshet
WORKDIR /home/freshet
# Compiled loops become part of the image; on another kind of processor the first start compiles them again.
RUN python -c "from stream.settings import load; from stream.warm_up import warm_up; warm_up(load())"
ENV FRESHET_STATE_DIR=/var/lib/freshet \
    FRESHET_WORKER__HTTP=0.0.0.0:8321
VOLUME /var/lib/freshet
EXPOSE 8321
# Importing torch and reading a checkpoint take a while at the start.
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s --retries=5 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8321/healthz', timeout=2)"]
ENTRYPOINT ["freshet"]
CMD ["worker"]
