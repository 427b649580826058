# The agent of the demo. It uses no model: certain words in a message select a fixed answer.
message=$(cat)
say() {
    printf '%s\n' "$1"
    sleep 1
}
directive() { printf '::tenure %s\n' "$1"; }

say 'A script answers here: no model is used.'
case $message in
*slowly*)
    step=0
    while [ "$step" -lt 120 ]; do
        step=$((step + 1))
        say "Step $step of 120: nothing unusual."
        directive '{"usage": {"input_tokens": 310, "output_tokens": 12, "acus": 0.01}}'
        sleep 4
    done
    ;;
*"release notes"*)
    say 'Read 41 commits since the last tag.'
    say 'Wrote CHANGELOG.md and opened a pull request.'
    directive '{"pull_request": {"url": "https://git.example/acme/app/pull/412", "state": "open"}}'
    directive '{"usage": {"input_tokens": 18400, "output_tokens": 2100, "acus": 0.6}, "state": "finished"}'
    ;;
*Upgrade*)
    say 'Raised compileSdk to 37.'
    echo 'gradle: could not resolve androidx.core:core-ktx:2.0.0-alpha09' >&2
    exit 3
    ;;
*service*)
    say 'Built and tested on the new version. Nothing else to do.'
    directive '{"usage": {"input_tokens": 9200, "output_tokens": 800, "acus": 0.25}, "state": "finished"}'
    ;;
*)
    say "Your message has ${#message} characters."
    directive '{"usage": {"input_tokens": 900, "output_tokens": 60, "acus": 0.02}}'
    say 'What should I do next?'
    ;;
esac
