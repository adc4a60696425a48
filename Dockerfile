# The programs broker, mkcerts and bankd on nothing else: no shell, no user but
# one without rights, no file that could be changed.
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o /out/ ./cmd/broker ./cmd/mkcerts ./examples/bank/bankd
# Volumes take their owner and mode from the directory that they are mounted on.
RUN mkdir -m 0700 /empty /empty/ca /empty/pki && chmod 0755 /empty

FROM scratch
COPY --from=build /out/ /
COPY --from=build --chown=65532:65532 /empty/ /
USER 65532:65532
EXPOSE 7766
ENTRYPOINT ["/broker"]
