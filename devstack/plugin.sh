#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# DevStack sources this file at each of its phases: plugin.sh MODE [PHASE]

_ZUN_LITE_XTRACE=$(set +o | grep xtrace)
set +o xtrace

# shellcheck source=devstack/lib/zun_lite
source "${ZUN_LITE_PLUGIN_DIR:-$DEST/zun_lite/devstack}/lib/zun_lite"

if is_zun_lite_enabled; then
    case "$1 ${2:-}" in
        "stack pre-install")
            echo_summary "zun_lite: looking at this machine"
            check_zun_lite_machine
            ;;
        "stack install")
            echo_summary "zun_lite: installing"
            install_zun_lite
            ;;
        "stack post-config")
            echo_summary "zun_lite: configuring"
            configure_zun_lite
            if is_service_enabled zun-lite-api; then
                create_zun_lite_accounts
                init_zun_lite
            fi
            ;;
        "stack extra")
            echo_summary "zun_lite: starting"
            start_zun_lite
            ;;
        "stack test-config")
            echo_summary "zun_lite: trying"
            try_zun_lite
            ;;
        "unstack ")
            stop_zun_lite
            ;;
        "clean ")
            clean_zun_lite
            ;;
    esac
fi

$_ZUN_LITE_XTRACE
