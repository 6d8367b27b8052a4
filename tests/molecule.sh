#!/usr/bin/env bash
# Runs the role end to end against PostgreSQL in a container: tests/molecule.sh [arguments of molecule]
# MOLECULE_ENGINE is podman or docker: the first of them that works, when it is not given.
# MOLECULE_POSTGRES_IMAGE is an image of PostgreSQL to pull. When it is not given, root builds one of Debian's packages
# with debootstrap, once, and anybody else pulls the official one.
source "$(dirname "$0")/collection_copy.sh"

working_engine() {
    local engine
    for engine in ${MOLECULE_ENGINE:-podman docker}; do
        if "$engine" info >/dev/null 2>&1; then
            echo "$engine"
            return
        fi
    done
    return 1
}

if ! MOLECULE_ENGINE=$(working_engine); then
    cat >&2 <<'EOF'

    ##########################################################################
    #                                                                        #
    #   THE CONTAINER SCENARIO WAS NOT RUN: neither podman nor docker works  #
    #   here. Install one of them, then: make molecule                       #
    #                                                                        #
    ##########################################################################

EOF
    [ -z "${CI:-}" ]
    exit
fi
if [ -z "${MOLECULE_POSTGRES_IMAGE:-}" ] && ! { [ "$(id -u)" = 0 ] && command -v debootstrap >/dev/null; }; then
    MOLECULE_POSTGRES_IMAGE=docker.io/library/postgres:17
fi

collection_copy molecule
MOLECULE_EPHEMERAL_DIRECTORY=$(realpath ../../..)/state
export MOLECULE_ENGINE MOLECULE_POSTGRES_IMAGE MOLECULE_EPHEMERAL_DIRECTORY

if [ $# -gt 0 ]; then
    exec molecule "$@"
fi
# A run that was cut off has left its state, by which nothing would be created. Its container is removed by the next one.
rm -rf "$MOLECULE_EPHEMERAL_DIRECTORY"
exec molecule test --all --no-command-borders
