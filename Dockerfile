# A static binary and CA certificates on an empty base. `make image` builds the
# binary first; scripts/image.sh stages the rest.
#
# There is no PostgreSQL inside: the container needs INVENTIV_DATABASE_URL (or
# DATABASE_URL), and INVENTIV_PUBLIC_URL for the name that people use. Replicas
# share one master key ring, mounted at /data/master.key or given by
# INVENTIV_MASTER_KEY_FILE.
FROM scratch
ARG TARGETARCH
COPY bin/image/etc /etc
COPY --chown=65532:65532 bin/image/owned /
COPY bin/linux-${TARGETARCH}/inventiv /inventiv
ENV INVENTIV_LISTEN=0.0.0.0:8080 \
    INVENTIV_AGENT_LISTEN=0.0.0.0:8443 \
    INVENTIV_METRICS_LISTEN=0.0.0.0:9090 \
    INVENTIV_DATA_DIR=/data
USER 65532:65532
VOLUME /data
EXPOSE 8080 8443 9090
ENTRYPOINT ["/inventiv"]
CMD ["serve"]
