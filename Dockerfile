# syntax=docker/dockerfile:1
#
# The images, for people who have Docker:
#
#   docker buildx build --target operator --tag "$REGISTRY/seccomp-profile/operator:0.1.0" --push .
#   docker buildx build --target node-agent --tag "$REGISTRY/seccomp-profile/node-agent:0.1.0" --push .
#   docker buildx build --target admission --tag "$REGISTRY/seccomp-profile/admission:0.1.0" --push .
#   docker buildx build --target observer --tag "$REGISTRY/seccomp-profile/observer:0.1.0" --push .
#
# Not run in our tests: they write the same images without Docker (xtask/src/build_images.rs).
#
# For several platforms at once (`--platform linux/amd64,linux/arm64`) Docker's default builder does not do; make another
# with `docker buildx create --use --driver docker-container`. Each platform is built by a compiler of its own. One that
# differs from the builder's is emulated, which is right but slow; a builder with a native node for each is not.

# Where an SBOM is asked for (`--sbom=true`), it is made of what the images are built from, Cargo.lock above all: in a
# stripped binary there is nothing to find.
ARG BUILDKIT_SBOM_SCAN_CONTEXT=true

# The digest is of the index of all platforms, as public repositories pin it for this tag (read on 2026-11-28). A registry
# cannot be asked where the project is tested; `docker buildx imagetools inspect rust:1.95-trixie` prints the present one.
FROM rust:1.95-trixie@sha256:f49565f188ee00bc2a18dd418183f2c5f23ef7d6e691890517ed341a598f67c3 AS build
WORKDIR /source
# As rust-toolchain.toml has it, without the components that only tests need: rustup would install them.
ENV RUSTUP_TOOLCHAIN=1.95.0
COPY . .
# Naming the target keeps the flags from build scripts and macros, which cannot be static.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    set -eu; \
    triple="$(uname -m)-unknown-linux-gnu"; \
    RUSTFLAGS="-C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs" \
    cargo build --locked --release --target "$triple" --package operator --package node-agent --package admission --package observer; \
    mkdir /programs; \
    cp "target/$triple/release/operator" "target/$triple/release/node-agent" "target/$triple/release/admission" "target/$triple/release/observer" /programs/
# Its user has the capability by the file alone; COPY keeps the attribute.
RUN apt-get update && apt-get install --yes --no-install-recommends libcap2-bin && setcap cap_audit_read=p /programs/observer

FROM scratch AS operator
LABEL org.opencontainers.image.source="https://github.com/imjasonh/seccomp-profile" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /programs/operator /operator
USER 65532:65532
ENTRYPOINT ["/operator"]

FROM scratch AS admission
LABEL org.opencontainers.image.source="https://github.com/imjasonh/seccomp-profile" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /programs/admission /admission
# The public authorities, by which it knows registries.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
USER 65532:65532
ENTRYPOINT ["/admission"]

FROM scratch AS observer
LABEL org.opencontainers.image.source="https://github.com/imjasonh/seccomp-profile" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /programs/observer /observer
USER 65530:65530
ENTRYPOINT ["/observer"]

FROM scratch AS node-agent
LABEL org.opencontainers.image.source="https://github.com/imjasonh/seccomp-profile" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /programs/node-agent /node-agent
# The kubelet's directories belong to root; the chart takes every capability from it.
USER 0:0
ENTRYPOINT ["/node-agent"]
