# SPDX-License-Identifier: Apache-2.0
# A stand-in for the part of DevStack that a plugin meets. Each function that it offers has DevStack's own name and takes
# what DevStack's own takes (functions-common, functions, inc/ini-config, inc/python, lib/database, lib/keystone as of
# 2026); any other is refused, and so is one that is called otherwise. Accounts and databases are real ones.
#
# From whoever sources it: FILES (a folder of its own), KEYSTONE_SERVICE_URI, OPENSTACK (the client), ENABLED_SERVICES, and
# stackrc's usual variables.

set -o errexit -o pipefail

function refuse {
    echo "devstack: $*" >&2
    kill -TERM $$
    exit 64
}

function command_not_found_handle {
    refuse "there is no function or command $1"
}

# takes LEAST MOST GIVEN: of the function that calls it
function takes {
    if (($3 < $1 || $3 > $2)); then
        refuse "${FUNCNAME[1]} takes $1 to $2 arguments, not $3"
    fi
    echo "${FUNCNAME[1]}" >>"$FILES/called"
}

function sudo {
    "$@"
}

# is_service_enabled service [service ...]
function is_service_enabled {
    takes 1 99 $#
    local service
    for service in "$@"; do
        if [[ ",$ENABLED_SERVICES," == *",$service,"* ]]; then
            return 0
        fi
    done
    return 1
}

# enable_service service [service ...]
function enable_service {
    takes 1 99 $#
    local service
    for service in "$@"; do
        ENABLED_SERVICES+=",$service"
    done
}

# define_plugin name
function define_plugin {
    takes 1 1 $#
}

# echo_summary "message"
function echo_summary {
    takes 1 99 $#
    echo "== $*"
}

# die $LINENO "message"
function die {
    takes 2 99 $#
    shift
    echo "die: $*" >&2
    kill -TERM $$
    exit 1
}

# get_python_exec_prefix
function get_python_exec_prefix {
    takes 0 0 $#
    echo "$PYTHON_BIN"
}

# setup_develop project_dir [extras]
function setup_develop {
    takes 1 2 $#
    [[ -f "$1/setup.cfg" ]] || refuse "setup_develop: $1 is no project"
    [[ "${2:-}" =~ ^([a-z]+(,[a-z]+)*)?$ ]] || refuse "setup_develop: extras are a list with commas, not $2"
}

# iniset [-sudo] config-file section option value
function iniset {
    [[ $1 == -sudo ]] && shift
    takes 4 4 $#
    "$PYTHON_BIN/python" - "$@" <<'PYTHON'
import configparser, sys
path, section, option, value = sys.argv[1:]
parser = configparser.ConfigParser(interpolation=None, default_section="none")
parser.read(path)
if not parser.has_section(section):
    parser.add_section(section)
parser.set(section, option, value)
with open(path, "w") as file:
    parser.write(file)
PYTHON
}

# recreate_database db
function recreate_database {
    takes 1 1 $#
    "$PYTHON_BIN/python" -m tests.openstack.recreate_database "$DATABASE_SERVER_URL" "$1"
}

# database_connection_url db
function database_connection_url {
    takes 1 1 $#
    echo "${DATABASE_SERVER_URL/\/mysql?/\/$1?}"
}

# run_process service "command-line" [group] [user] [env_vars]
function run_process {
    takes 2 5 $#
    local service=$1 command=$2 user=${4:-} variables=${5:-}
    [[ -z "$user" || "$user" == root || "$user" == "$STACK_USER" ]] || refuse "run_process: there is no user $user"
    is_service_enabled "$service" || return 0
    # shellcheck disable=SC2086 # words
    setsid env $variables $command >"$FILES/$service.log" 2>&1 </dev/null &
    echo $! >"$FILES/$service.pid"
}

# stop_process service
function stop_process {
    takes 1 1 $#
    [[ -f "$FILES/$1.pid" ]] || return 0
    kill -TERM -- "-$(<"$FILES/$1.pid")" 2>/dev/null || true
    rm "$FILES/$1.pid"
}

# wait_for_service timeout url
function wait_for_service {
    takes 2 2 $#
    # shellcheck disable=SC2016 # for the inner shell
    timeout "$1" sh -c 'until curl -s -o /dev/null "$0"; do sleep 0.2; done' "$2"
}

function as_admin {
    "$OPENSTACK" --os-cloud admin "$@"
}

# create_service_user <name> [role]
function create_service_user {
    takes 1 2 $#
    as_admin user create "$1" --or-show --password "$SERVICE_PASSWORD" --domain "$SERVICE_DOMAIN_NAME" -f value -c id
    local role
    for role in service ${2:-}; do
        as_admin role add "$role" --user "$1" --project "$SERVICE_PROJECT_NAME" \
            --user-domain "$SERVICE_DOMAIN_NAME" --project-domain "$SERVICE_DOMAIN_NAME"
    done
}

# get_or_create_project <name> <domain>
function get_or_create_project {
    takes 2 2 $#
    as_admin project create "$1" --or-show --domain "$2" -f value -c id
}

# get_or_create_service <name> <type> <description>
function get_or_create_service {
    takes 3 3 $#
    as_admin service create "$2" --name "$1" --description "$3" -f value -c id
}

# get_or_create_endpoint <service> <region> <publicurl> [adminurl] [internalurl]
function get_or_create_endpoint {
    takes 3 5 $#
    as_admin endpoint create "$1" public "$3" --region "$2" -f value -c id
}

# configure_keystone_authtoken_middleware conf_file admin_user [section] [service_type]
function configure_keystone_authtoken_middleware {
    takes 2 4 $#
    local section=${3:-keystone_authtoken}
    iniset "$1" "$section" auth_type password
    iniset "$1" "$section" interface public
    iniset "$1" "$section" auth_url "$KEYSTONE_SERVICE_URI"
    iniset "$1" "$section" username "$2"
    iniset "$1" "$section" password "$SERVICE_PASSWORD"
    iniset "$1" "$section" user_domain_name "$SERVICE_DOMAIN_NAME"
    iniset "$1" "$section" project_name "$SERVICE_PROJECT_NAME"
    iniset "$1" "$section" project_domain_name "$SERVICE_DOMAIN_NAME"
    iniset "$1" "$section" www_authenticate_uri "$KEYSTONE_SERVICE_URI"
}
