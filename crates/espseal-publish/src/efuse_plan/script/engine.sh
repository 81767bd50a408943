fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# Runs espefuse; what it says is shown when it fails.
espefuse_says() {
    local options=(--chip "$CHIP")
    if [[ -n ${ESPEFUSE_VIRTUAL:-} ]]; then
        options+=(--virt --path-efuse-file "$ESPEFUSE_VIRTUAL")
    elif [[ -n ${ESPEFUSE_PORT:-} ]]; then
        options+=(--port "$ESPEFUSE_PORT")
    fi
    "${ESPEFUSE:-espefuse}" "${options[@]}" "$@" >"$work/log" 2>&1
}

burn() {
    espefuse_says --do-not-confirm "$@" || {
        cat -- "$work/log" >&2
        return 1
    }
}

# Prints a file, or one half of a key of two blocks.
part() {
    case $2 in
        first) head -c 32 -- "$1" ;;
        second) tail -c 32 -- "$1" ;;
        *) cat -- "$1" ;;
    esac
}

# Prints a key as espefuse shows its block.
key_digits() {
    part "$1" "$2" | od -An -v -tx1 | tr -s ' \n' '\n\n' |
        awk -v order="$3" 'NF { text = order == "backward" ? $1 text : text $1 } END { printf "0x%s", text }'
}

# Reads the chip into `now`; `contents` has the digits of blocks that can be read.
look() {
    rm -f -- "$work/summary.json"
    espefuse_says summary --format json --file "$work/summary.json" || return 1
    awk -F'"' '
        /^    "[A-Z0-9_]+": \{/ { name = $2; raw = ""; readable = "true" }
        /^        "raw_value":/ { raw = tolower($4) }
        /^        "readable": false/ { readable = "false" }
        /^    \},?$/ { print name, raw, readable }
    ' "$work/summary.json" >"$work/fields"
    now=()
    contents=()
    local entry name mask raw readable seen
    for entry in "${WATCHED[@]}"; do
        read -r name mask _ <<<"$entry"
        read -r raw readable < <(awk -v name="$name" '$1 == name { print $2, $3 }' "$work/fields") ||
            fail "espefuse summary does not list $name: this script is made for espefuse 5.6"
        seen=$raw
        case $mask in
            key)
                if [[ $readable == false ]]; then
                    seen=hidden
                elif [[ $raw =~ ^0x0*$ ]]; then
                    seen=empty
                elif [[ " ${STATES[*]} " != *" $raw "* ]]; then
                    seen=readable
                fi
                ;;
            text) ;;
            *) printf -v seen '0x%x' "$((raw & mask))" ;;
        esac
        now+=("$seen")
        contents+=("$raw")
    done
}

# Whether a block holds what the plan puts into it.
holds() {
    local variable part order
    read -r _ _ variable part order <<<"${WATCHED[$1]}"
    [[ $variable != - ]] || return 1
    [[ -r ${!variable} ]] || fail "a step is half done: set ESPSEAL_$variable to the file of its key"
    [[ ${contents[$1]} == "$(key_digits "${!variable}" "$part" "$order")" ]]
}

# Whether the chip is on its way from one state to the next.
is_between() {
    local before=($1) after=($2) index mask
    for index in "${!now[@]}"; do
        [[ ${now[index]} == "${before[index]}" || ${now[index]} == "${after[index]}" ]] && continue
        read -r _ mask _ <<<"${WATCHED[index]}"
        case $mask in
            text) return 1 ;;
            key)
                [[ ${now[index]} == readable && ${before[index]} == empty && ${after[index]} == hidden ]] || return 1
                holds "$index" || return 1
                ;;
            *)
                ((before[index] & ~now[index])) && return 1
                ((now[index] & ~after[index])) && return 1
                ;;
        esac
    done
    return 0
}

# Finds out how many steps are done.
locate() {
    local index
    for index in "${!STATES[@]}"; do
        if [[ "${now[*]}" == "${STATES[index]}" ]]; then
            position=$index
            halfway=
            return 0
        fi
    done
    for ((index = 0; index < STEPS; index++)); do
        if is_between "${STATES[index]}" "${STATES[index + 1]}"; then
            position=$index
            halfway=yes
            return 0
        fi
    done
    local entry name start end
    start=(${STATES[0]})
    end=(${STATES[STEPS]})
    {
        printf 'error: the chip is neither before nor after any step of this plan; it is another chip, or was burnt by\n'
        printf 'somebody else. Plan anew from its present state (espefuse summary --format json).\n'
        for index in "${!now[@]}"; do
            read -r name _ <<<"${WATCHED[index]}"
            [[ ${now[index]} == "${end[index]}" ]] ||
                printf '  %s is %s; %s at the start, %s at the end\n' \
                    "$name" "${now[index]}" "${start[index]}" "${end[index]}"
        done
    } >&2
    exit 1
}

# Checks the key files of steps to come: there, of the right length, and no pattern.
check_keys() {
    local entry variable length step file
    for entry in ${KEYS[@]+"${KEYS[@]}"}; do
        read -r variable length step <<<"$entry"
        ((position < step)) || continue
        file=${!variable}
        [[ -n $file ]] || fail "no file for the key $variable: set ESPSEAL_$variable"
        [[ -r $file ]] || fail "$file: cannot be read"
        (($(wc -c <"$file") == length)) || fail "$file: expected $length bytes for $variable"
        (($(od -An -v -tx1 <"$file" | tr -s ' ' '\n' | awk 'NF' | sort -u | wc -l) != 1)) ||
            fail "$file: one byte repeated is no key"
    done
}

main() {
    local limit=$STEPS status='' ask=yes answer done_now=0
    while (($#)); do
        case $1 in
            --status) status=yes ;;
            --yes) ask='' ;;
            --steps)
                [[ ${2:-} =~ ^[0-9]+$ ]] || { usage >&2; exit 2; }
                limit=$2
                shift
                ;;
            --help | -h) usage; exit 0 ;;
            *) usage >&2; exit 2 ;;
        esac
        shift
    done
    work=$(mktemp -d)
    trap 'rm -rf -- "$work"' EXIT
    if ! look; then
        cat -- "$work/log" >&2
        [[ $SILENT_AFTER == none ]] ||
            printf 'Once step %s is done, espefuse gets no answer any more: see esptool get-security-info.\n' \
                "$SILENT_AFTER" >&2
        fail 'espefuse cannot read the chip'
    fi
    digests
    locate
    printf '%s: %s of %s steps are done%s\n' "$CHIP" "$position" "$STEPS" "${halfway:+, the next one in part}"
    ((position < STEPS)) || exit 0
    [[ -z $status ]] || exit 0
    check_keys
    if [[ -n $ask ]]; then
        printf 'What is burnt stays burnt. Type BURN to go on: '
        read -r answer </dev/tty || answer=
        [[ $answer == BURN ]] || fail 'nothing was burnt'
    fi
    while ((position < STEPS && done_now < limit)); do
        local number=$((position + 1))
        printf 'step %s of %s: %s\n' "$number" "$STEPS" "${TITLES[number]}"
        "step_$number" || fail "step $number failed; run this script again once its cause is gone"
        if ! look; then
            [[ $SILENT_AFTER == "$number" ]] || fail "espefuse cannot read the chip after step $number"
            printf 'espefuse gets no answer any more, as planned: see esptool get-security-info\n'
            exit 0
        fi
        [[ "${now[*]}" == "${STATES[number]}" ]] || {
            locate
            fail "step $number did not come out as planned"
        }
        position=$number
        done_now=$((done_now + 1))
    done
    if ((position == STEPS)); then
        printf 'done: the chip is as planned\n'
    else
        printf '%s of %s steps are done; run this script again for the rest\n' "$position" "$STEPS"
    fi
}

main "$@"
