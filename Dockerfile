# Two images: edge, which inspects, serves and trains the default method; and train, for the methods that need PyTorch.
#   docker build --target edge  --tag ssim-ae:edge .
#   docker build --target train --tag ssim-ae:train .
#   docker run --read-only --volume "$PWD/runs:/runs:ro" ssim-ae:edge info /runs/photos-1
# compose.yaml runs the server.
ARG PYTHON=3.12

FROM python:${PYTHON}-slim AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN python -m venv /opt/ssim-ae && /opt/ssim-ae/bin/pip install --no-cache-dir '.[serve,line,postgresql,mqtt]'

FROM build AS build-train
# Index of PyTorch's builds for CPUs: those of the default index bring 3 GB of libraries for GPUs
ARG TORCH_INDEX
RUN if [ -n "$TORCH_INDEX" ]; then /opt/ssim-ae/bin/pip install --no-cache-dir --index-url "$TORCH_INDEX" torch; fi \
    && /opt/ssim-ae/bin/pip install --no-cache-dir '.[train,parquet]'

FROM python:${PYTHON}-slim AS base
# /log belongs to the user: a new volume that is mounted there takes that over
RUN useradd --create-home --uid 1000 inspector && install --directory --owner inspector /log
ENV PATH=/opt/ssim-ae/bin:$PATH PYTHONUNBUFFERED=1
USER inspector
WORKDIR /home/inspector
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
ENTRYPOINT ["ssim-ae"]
CMD ["--help"]

FROM base AS train
COPY --from=build-train /opt/ssim-ae /opt/ssim-ae
HEALTHCHECK NONE

FROM base AS edge
COPY --from=build /opt/ssim-ae /opt/ssim-ae
