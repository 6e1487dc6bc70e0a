# Two stages: the second has the binary and its certificates, runs as nobody in particular, and keeps its data in one volume.
FROM rust:1.95-slim-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY . .
# Which commit this is, for `--version`: --build-arg WATCHKEEP_COMMIT=$(git rev-parse HEAD). May be left out.
ARG WATCHKEEP_COMMIT=
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/source/target \
    cargo build --release --locked --package daemon --bin watchkeep && install -D target/release/watchkeep /out/watchkeep

FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --system --gid 10001 watchkeep \
    && useradd --system --uid 10001 --gid watchkeep --home-dir /var/lib/watchkeep --shell /usr/sbin/nologin watchkeep \
    && install -d -o watchkeep -g watchkeep -m 0750 /var/lib/watchkeep /etc/watchkeep
COPY --from=build /out/watchkeep /usr/local/bin/watchkeep
COPY LICENSE-MIT LICENSE-APACHE /usr/share/doc/watchkeep/
USER watchkeep
WORKDIR /var/lib/watchkeep
VOLUME /var/lib/watchkeep
# Page, API and OTLP; loopback of the container unless the configuration says otherwise.
EXPOSE 4318
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/watchkeep"]
CMD ["run"]
