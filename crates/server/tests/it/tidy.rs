//! Rules for the source itself: dependencies, sizes, words, and migrations in pairs.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// A file, or every file below a folder, with this extension: its path below the root, and its text.
fn files(below: &str, extension: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut left = vec![root().join(below)];
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|found| found == extension) {
            let name = path.strip_prefix(root()).unwrap().display().to_string();
            found.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
    assert!(!found.is_empty(), "no {extension} files below {below}");
    found
}

fn sources(below: &str) -> Vec<(String, String)> {
    files(below, "rs")
}

/// Where code below a folder contains a forbidden word.
fn find_words(below: &str, forbidden: &[&str]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, text) in sources(below) {
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for word in forbidden.iter().filter(|word| code.contains(**word)) {
                wrong.push(format!("{name}:{}: {word}", number + 1));
            }
        }
    }
    wrong
}

#[test]
fn folders_keep_the_dependency_rule() {
    let rules: &[(&str, &[&str])] = &[
        (
            "crates/domain/src",
            &["store::", "server::", "tokio", "axum", "rusqlite", "async fn", "SystemTime", "rand::"],
        ),
        (
            "crates/index/src",
            &["store::", "server::", "tokio", "axum", "rusqlite", "async fn", "SystemTime", "rand::"],
        ),
        (
            "crates/filter/src",
            &[
                "store::",
                "server::",
                "index::",
                "tokio",
                "axum",
                "rusqlite",
                "async fn",
                "SystemTime",
                "rand::",
            ],
        ),
        ("crates/store/src", &["server::", "axum", "runner::", "protocol::", "index::"]),
        (
            "crates/server/src/services",
            &["axum", "crate::{app", "crate::app", "crate::operations", "crate::wires"],
        ),
        ("crates/server/src/front", &["crate::app", "crate::operations", "crate::wires"]),
        ("crates/server/src/operations/devices/queue.rs", &["devices::sessions"]),
        ("crates/server/src/operations/devices/sessions.rs", &["devices::queue"]),
        (
            "crates/server/src/operations",
            &["axum", "crate::wires", "crate::console", "crate::http", "StatusCode"],
        ),
        (
            "crates/server/src/wires/devin",
            &["wires::tenure", "wires::mobilenext", "wires::everruns", ".store."],
        ),
        (
            "crates/server/src/wires/mobilenext",
            &["wires::tenure", "wires::probe", "super::super::tenure", ".store.device", ".store.change"],
        ),
        ("crates/server/src/wires/probe", &["wires::tenure", "wires::mobilenext", ".store."]),
        (
            "crates/server/src/wires/tenure",
            &[
                "wires::mobilenext",
                "wires::probe",
                "super::super::mobilenext",
                ".store.device",
                ".store.change",
            ],
        ),
        ("crates/runner/src", &["store::", "server::"]),
        ("crates/protocol/src", &["domain::", "store::", "server::"]),
    ];
    let wrong = rules.iter().flat_map(|(below, forbidden)| find_words(below, forbidden)).collect::<Vec<_>>();
    // `super::server::` in the runner is its own module for the server's address.
    let wrong = wrong
        .into_iter()
        .filter(|at| !(at.starts_with("crates/runner") && at.ends_with("server::")))
        .collect::<Vec<_>>();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The names that a file imports from a crate or module, by `use` lines and by full paths: the names right after `from`.
fn imported_names(text: &str, from: &str) -> Vec<String> {
    let code =
        text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join(" ");
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut names = Vec::new();
    for (at, _) in code.match_indices(from) {
        // `crate::store::` and `app.store` are something else.
        if code[..at].ends_with(|c: char| word(c) || c == ':' || c == '.') {
            continue;
        }
        let rest = code[at + from.len()..].trim_start();
        match rest.strip_prefix('{') {
            None => names.push(rest.split(|c| !word(c)).next().unwrap_or_default().to_owned()),
            Some(list) => {
                let list = list.split('}').next().unwrap_or_default();
                let first = |item: &str| item.trim().split("::").next().unwrap_or_default().to_owned();
                names.extend(list.split(',').map(first).filter(|name| !name.is_empty()));
            }
        }
    }
    names
}

#[test]
fn imported_names_are_read_from_use_lines_and_paths() {
    let text = "use store::{Caller, access::Right}; // store::Store\nfn f(x: store::Error) { app.store::y; }";
    assert_eq!(imported_names(text, "store::"), ["Caller", "access", "Error"]);
}

#[test]
fn a_wire_uses_operations_and_only_grants_of_the_store() {
    let from_store = [
        "access",
        "Caller",
        "AccessMoment",
        "FeedPosition",
        "OrganizationChoice",
        "Granted",
        "GrantedAccount",
        "StoredFile",
        "Topic",
        "RequestedScope",
        "ScopeGrant",
        "VisibleSessions",
        "AnySession",
        "SessionNames",
    ];
    let from_crate = [
        "app",
        "clock",
        "failure",
        "front",
        "http",
        "logging",
        "operations",
        "services",
        "settings",
        "signals",
        "wires",
    ];
    let mut wrong = Vec::new();
    for (name, text) in sources("crates/server/src/wires") {
        let store = imported_names(&text, "store::")
            .into_iter()
            .filter(|taken| !from_store.contains(&taken.as_str()));
        wrong.extend(store.map(|taken| format!("{name}: store::{taken}")));
        // The table of all routes names the console beside the wires.
        let is_table = name.ends_with("wires/mod.rs");
        let known = |taken: &String| from_crate.contains(&taken.as_str()) || (is_table && taken == "console");
        let own = imported_names(&text, "crate::").into_iter().filter(|taken| !known(taken));
        wrong.extend(own.map(|taken| format!("{name}: crate::{taken}")));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_manifests_keep_the_dependency_rule() {
    let allowed: &[(&str, &[&str])] = &[
        ("domain", &[]),
        ("filter", &["domain"]),
        ("index", &["domain"]),
        ("protocol", &[]),
        ("store", &["domain"]),
        ("server", &["domain", "filter", "index", "protocol", "store"]),
        ("runner", &["domain", "protocol"]),
    ];
    let house = ["domain", "filter", "index", "protocol", "store", "server", "runner", "tenure"];
    for (name, allowed) in allowed {
        let text = fs::read_to_string(root().join("crates").join(name).join("Cargo.toml")).unwrap();
        let dependencies = text.split("[dependencies]").nth(1).unwrap().split("\n[").next().unwrap();
        let own = dependencies.lines().filter_map(|line| line.split(['=', '.', ' ']).next());
        let wrong = own.filter(|line| house.contains(line) && !allowed.contains(line)).collect::<Vec<_>>();
        assert!(wrong.is_empty(), "{name} depends on {wrong:?}");
    }
}

#[test]
fn folders_are_at_most_three_deep() {
    for name in ["domain", "filter", "index", "protocol", "store", "server", "runner", "tenure"] {
        for (path, _) in sources(&format!("crates/{name}/src")) {
            let folders = path.split('/').count() - "crates/x/src/file.rs".split('/').count();
            assert!(folders <= 3, "{path}");
        }
    }
}

#[test]
fn the_checks_find_violations() {
    assert!(!find_words("crates/store/src", &["SELECT "]).is_empty());
    let long = ["    async fn long() {"]
        .into_iter()
        .chain(["        x();"; 70])
        .chain(["    }"])
        .collect::<Vec<_>>();
    assert_eq!(long_functions(&long), [(1, 72)]);
    assert_eq!(long_functions(&long[2..]), []);
}

#[test]
fn only_the_store_has_sql() {
    let words =
        ["SELECT ", "INSERT INTO", "DELETE FROM", "UPDATE sessions", "UPDATE holds", "UPDATE devices"];
    for below in ["crates/domain/src", "crates/server/src", "crates/runner/src", "crates/tenure/src"] {
        assert_eq!(find_words(below, &words), Vec::<String>::new());
    }
}

/// A connection that is opened elsewhere would plan its statements in another way.
#[test]
fn the_store_opens_sqlite_connections_in_one_place() {
    let opened =
        ["domain", "store/src/database", "server/src", "runner/src", "tenure/src"].into_iter().flat_map(
            |below| find_words(&format!("crates/{below}"), &["Connection::open(", "::open_with_flags("]),
        );
    let at = |found: String| found.split(':').next().unwrap_or_default().to_owned();
    assert_eq!(opened.map(at).collect::<Vec<_>>(), ["crates/store/src/database/sqlite/file.rs"]);
}

/// The functions that bind the organization or person of their own grant by hand, also under a local name.
fn hand_bound_scopes(text: &str) -> Vec<&str> {
    let binds = |function: &&str| {
        let code = function.split_whitespace().collect::<String>();
        let binds = |value: &str| code.split("values![").skip(1).any(|rest| has_value(rest, value));
        let grants =
            code.match_indices(":&Granted").filter_map(|(at, _)| code[..at].rsplit(['(', ',']).next());
        let mut scopes =
            grants.flat_map(|grant| ["organization", "person"].map(|scope| format!("{grant}.{scope}()")));
        scopes.any(|scope| {
            let named =
                code.split_once(&format!("={scope};")).and_then(|(before, _)| before.rsplit("let").next());
            binds(&scope) || named.is_some_and(binds)
        })
    };
    text.split("fn ").filter(binds).filter_map(|function| function.split(['(', '<']).next()).collect()
}

/// Whether a list that ends at a bracket has a value.
fn has_value(list: &str, value: &str) -> bool {
    let mut depth = 0;
    let end = list.find(|c| {
        depth += i32::from(c == '[') - i32::from(c == ']');
        depth < 0
    });
    list[..end.unwrap_or_default()].split(',').any(|one| one == value)
}

#[test]
fn a_grant_binds_its_own_scope() {
    let text = "fn one<P>(&self, granted: &Granted<P>) { values![granted.organization()] }
                fn two(own: &GrantedPerson, id: Id) { let person = own.person(); values![&x[..],\n person] }
                fn good(own: &GrantedPerson) { let person = own.person(); values![id]; [person] }";
    assert_eq!(hand_bound_scopes(text), ["one", "two"]);
    // Their statements are of a person, and store an organization.
    let kept = ["approve_device_login", "create_sub_user"];
    let files = sources("crates/store/src");
    let wrong = files.iter().flat_map(|(name, text)| {
        let found = hand_bound_scopes(text).into_iter().filter(|function| !kept.contains(function));
        found.map(move |function| format!("{name}: {function}: use Scope::one_row"))
    });
    assert_eq!(wrong.collect::<Vec<_>>(), Vec::<String>::new());
}

/// Phrases that readers had to read twice. CONTRIBUTING.md says how to write instead.
const RIDDLES: [&str; 19] = [
    "The how manieth",
    "The like",
    "The whole number at once",
    "Only those of the store",
    "What can be no",
    "What of the",
    "That somebody",
    "nobody's",
    "no good",
    "anew",
    "stranger",
    "good-bye",
    "put away",
    "What cannot",
    "may at most",
    "may more",
    "in drops",
    "asked for nothing",
    "besides what is so",
];

#[test]
fn prose_has_no_riddles() {
    let pages = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "docs"];
    let texts = pages.iter().flat_map(|page| files(page, "md")).chain(sources("crates"));
    let mut wrong = Vec::new();
    for (name, text) in texts.filter(|(name, _)| !name.ends_with("tests/it/tidy.rs")) {
        wrong.extend(
            RIDDLES.iter().filter(|riddle| text.contains(**riddle)).map(|riddle| format!("{name}: {riddle}")),
        );
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_code_is_unfinished() {
    let words = ["todo!", "unimplemented!(", "dbg!"];
    for below in ["crates/domain/src", "crates/server/src", "crates/runner/src", "crates/tenure/src"] {
        assert_eq!(find_words(below, &words), Vec::<String>::new());
    }
}

/// Names of fields that hold secrets.
const SECRETS: [&str; 9] =
    ["secret", "secrets", "password", "password_hash", "token", "api_token", "credential", "seed", "jwt"];

/// The structs that derive `Debug` and have a secret in plain text: one `{:?}` would write it into a log.
fn printed_secrets(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut inside: Option<&str> = None;
    let mut derived = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[derive(") {
            derived = line.contains("Debug");
        } else if let Some((_, name)) = line.split_once("struct ").filter(|_| line.ends_with('{')) {
            inside = derived.then(|| name.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default());
        } else if line == "}" {
            (inside, derived) = (None, false);
        } else if let (Some(name), Some((field, kind))) = (inside, line.split_once(": ")) {
            let field = field.trim_start_matches("pub ");
            let plain = kind.contains("String") || kind.contains("str");
            found.extend((plain && SECRETS.contains(&field)).then(|| format!("{name}.{field}")));
        }
    }
    found
}

#[test]
fn no_secret_is_printed_by_mistake() {
    let text = "#[derive(Clone, Debug)]\n#[serde(x)]\npub struct One<'a> {\n    pub token: Option<&'a str>,\n}\n\
                #[derive(Clone)]\nstruct Two {\n    token: String,\n}\nstruct Three {\n    token: String,\n}";
    assert_eq!(printed_secrets(text), ["One.token"]);
    let found = ["domain", "filter", "index", "protocol", "store", "server", "runner", "tenure"]
        .into_iter()
        .flat_map(|name| {
            let files = sources(&format!("crates/{name}/src"));
            files.into_iter().flat_map(|(file, text)| {
                printed_secrets(&text).into_iter().map(move |field| format!("{file}: {field}"))
            })
        });
    assert_eq!(found.collect::<Vec<_>>(), Vec::<String>::new());
}

#[test]
fn files_and_functions_are_small() {
    let mut wrong = Vec::new();
    for (name, text) in sources("crates") {
        let lines = text.lines().collect::<Vec<_>>();
        if lines.len() > 500 {
            wrong.push(format!("{name}: {} lines", lines.len()));
        }
        wrong.extend(
            long_functions(&lines)
                .into_iter()
                .map(|(at, length)| format!("{name}:{at}: a function of {length} lines")),
        );
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Functions of more than 70 lines, with their line and length. A function ends at the closing line of its indentation.
fn long_functions(lines: &[&str]) -> Vec<(usize, usize)> {
    let indentation = |line: &str| line.len() - line.trim_start().len();
    let begins = |line: &str| {
        let line = line
            .trim_start()
            .trim_start_matches("pub ")
            .trim_start_matches("pub(crate) ")
            .trim_start_matches("pub(super) ");
        line.trim_start_matches("const ").trim_start_matches("async ").starts_with("fn ")
    };
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate().filter(|(_, line)| begins(line)) {
        let closes =
            |later: &&str| later.trim_start().starts_with('}') && indentation(later) == indentation(line);
        let length = lines[at..].iter().position(closes).map_or(1, |end| end + 1);
        if length > 70 {
            found.push((at + 1, length));
        }
    }
    found
}

/// Words for types, which differ between the databases.
const TYPES: [&str; 6] = ["BLOB", "UUID", "INTEGER", "BIGINT", "TEXT", "BYTEA"];
/// Options of tables that only SQLite has.
const OPTIONS: [&str; 3] = ["STRICT", "WITHOUT", "ROWID"];

/// After this line, migrations differ: they have triggers and functions.
const OWN_WORDS: &str = "-- From here on, each database has words of its own.";

#[test]
fn migrations_come_in_pairs_with_the_same_columns() {
    let folder = root().join("migrations");
    let mut names = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect::<Vec<_>>();
    names.sort();
    let columns = |name: &str| -> Vec<String> {
        let text = fs::read_to_string(folder.join(name)).unwrap();
        // Only PostgreSQL has included columns of an index.
        let text = text.replace(" INCLUDE (tail)", "");
        let same = text.lines().take_while(|line| *line != OWN_WORDS);
        let code = same.map(|line| line.split("--").next().unwrap_or_default().trim().to_owned());
        let names = code.filter(|line| !line.is_empty()).map(|line| {
            line.split_whitespace()
                .take_while(|word| !TYPES.contains(&word.trim_matches([',', ';'])))
                .filter(|word| !word.starts_with(')') && !OPTIONS.contains(&word.trim_matches([',', ';'])))
                .collect::<Vec<_>>()
                .join(" ")
        });
        names.filter(|name| !name.is_empty() && !name.starts_with("INSERT")).collect()
    };
    let steps =
        names.iter().map(|name| name.split('.').next().unwrap()).collect::<std::collections::BTreeSet<_>>();
    assert!(!steps.is_empty());
    for step in steps {
        let pair = ["sqlite", "postgres"].map(|database| format!("{step}.{database}.sql"));
        assert!(pair.iter().all(|name| names.contains(name)), "{step} has no pair");
        assert_eq!(columns(&pair[0]), columns(&pair[1]), "{step}");
    }
}
