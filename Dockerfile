# syntax=docker/dockerfile:1
# One image, every role: the command says which. It holds the binary and
# nothing else, no shell either: `hypertick health` is its health check.

FROM node:22.22.0-bookworm-slim AS web
WORKDIR /src/web
COPY web/package.json web/package-lock.json web/.npmrc ./
RUN npm ci --no-audit --no-fund
COPY web/ ./
RUN npm run build

FROM golang:1.26.4-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
COPY --from=web /src/web/dist ./web/dist
# The repository is not in the build's context: `make image` says what it is of.
ARG HYPERTICK_VERSION=devel
ARG HYPERTICK_COMMIT=
ARG HYPERTICK_DATE=
RUN CGO_ENABLED=0 go build -trimpath -o /hypertick -ldflags="-s -w \
    -X github.com/hypertick/hypertick/cli.buildVersion=${HYPERTICK_VERSION} \
    -X github.com/hypertick/hypertick/cli.buildCommit=${HYPERTICK_COMMIT} \
    -X github.com/hypertick/hypertick/cli.buildDate=${HYPERTICK_DATE}" .

FROM gcr.io/distroless/static-debian12:nonroot@sha256:b7bb25d9f7c31d2bdd1982feb4dafcaf137703c7075dbe2febb41c24212b946f
COPY --from=build /hypertick /hypertick
USER 65532:65532
ENTRYPOINT ["/hypertick"]
