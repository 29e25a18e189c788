# Fanlight in a container: built from source, run as nobody in particular.
#
#   docker build -t fanlight .
#   docker buildx build --platform linux/amd64,linux/arm64 -t REGISTRY/fanlight --push .       for both; no step knows which
#   docker build --build-arg CARGO_FEATURES=otel -t fanlight .            with traces for an OpenTelemetry collector
#   docker run --rm -p 8554:8554 -p 127.0.0.1:8580:8580 fanlight          the demo, at rtsp://127.0.0.1:8554/demo
#   docker run --rm -p 8554:8554 -v "$PWD/mine:/config:ro" fanlight       your streams, from mine/fanlight.yml
#
# The base images can be replaced, as a private registry or an air-gapped machine needs it.
ARG BUILD_IMAGE=rust:1-bookworm
ARG RUNTIME_IMAGE=debian:bookworm-slim

FROM ${BUILD_IMAGE} AS build
ARG CARGO_FEATURES=
WORKDIR /build
# The dependencies alone, in a layer that lasts until they change: every target of the manifest as an empty program.
COPY Cargo.toml Cargo.lock ./
RUN for file in src/lib.rs src/main.rs $(sed -n 's/^path = "\(.*\.rs\)"$/\1/p' Cargo.toml); do \
        mkdir -p "$(dirname "$file")" && echo 'fn main() {}' > "$file"; \
    done && \
    cargo build --release --locked --features "${CARGO_FEATURES}" --bin fanlight
COPY . .
# COPY keeps old file times; without new ones cargo takes the empty programs for up to date.
# Line tables are three quarters of the program; the image does without them and keeps the names of functions.
RUN touch src/lib.rs src/main.rs && cargo build --release --locked --features "${CARGO_FEATURES}" --bin fanlight && \
    strip --strip-debug target/release/fanlight

FROM ${RUNTIME_IMAGE}
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Fanlight" \
      org.opencontainers.image.description="An RTSP relay: one connection to an IP camera, the feed shared with many viewers" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /build/target/release/fanlight /usr/local/bin/fanlight
COPY --from=build /build/src/demo.mjpeg /usr/share/fanlight/demo.mjpeg
COPY --from=build /build/LICENSE /usr/share/doc/fanlight/LICENSE
COPY --from=build /build/config/image.yml /config/fanlight.yml
USER 10001:10001
# RTSP; page, API and metrics; RTP and RTCP over UDP.
EXPOSE 8554 8580 8000/udp 8001/udp
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 CMD ["fanlight", "healthcheck"]
ENTRYPOINT ["fanlight"]
CMD ["--config", "/config/fanlight.yml"]
