//! The agents of the demo: their sessions of the last 30 days, and those that they start with. Their worker runs a script
//! instead of a model; see `agent.sh`.

use domain::agent::Agent;
use domain::ids::{OrganizationId, PrincipalId};
use domain::json::Json;
use server::operations::agents::definitions::{self, NewAgent};
use store::access::UseSessions;

use crate::administration::{Administration, now};
use crate::commands::demo::past::{random_below, random_working_time};
use crate::commands::demo::story::Story;
use crate::error::CommandResult;

/// The script that the demo's worker runs for each message.
pub const SCRIPT: &str = include_str!("agent.sh");

/// The names of the demo's agents.
pub const NAMES: [&str; 2] = ["builder (scripted)", "triage (scripted)"];

/// A task that people give to agents, with the scripted answer.
struct ScriptedTask {
    title: &'static str,
    category: &'static str,
    tags: &'static [&'static str],
    message: &'static str,
    answer: &'static str,
}

const TASKS: [ScriptedTask; 8] = [
    ScriptedTask {
        title: "Flaky checkout test",
        category: "bug_fixing",
        tags: &["ci", "checkout"],
        message: "CheckoutTest fails one time in five. Find out why.",
        answer: "The test taps before the sheet has settled. I wait for the sheet instead; 200 runs passed.",
    },
    ScriptedTask {
        title: "Release notes 4.1",
        category: "documentation_and_content",
        tags: &["release"],
        message: "Write the release notes for 4.1.",
        answer: "Wrote CHANGELOG.md from 38 commits.",
    },
    ScriptedTask {
        title: "Crash on rotation",
        category: "bug_fixing",
        tags: &["android", "crash"],
        message: "Since 4.1 the profile screen crashes when the phone is turned.",
        answer: "The view model was kept by the activity. It is kept by the navigation graph now; added a test.",
    },
    ScriptedTask {
        title: "Unit tests for the price rules",
        category: "unit_test_generation",
        tags: &["backend"],
        message: "Cover the price rules with tests.",
        answer: "Added 46 tests; one found that a discount of 100 % was refused.",
    },
    ScriptedTask {
        title: "Triage of Monday's crash reports",
        category: "production_investigation",
        tags: &["crash", "triage"],
        message: "Group this morning's crash reports and say which are new.",
        answer: "Three groups are known, one is new: a timeout of the map tiles on slow networks.",
    },
    ScriptedTask {
        title: "Move the widgets to Compose",
        category: "migrations_and_upgrades",
        tags: &["android"],
        message: "Move the home screen's widgets to Compose.",
        answer: "Moved 7 of 9 widgets. The clock and the calendar need a newer launcher: shall I raise the minimum?",
    },
    ScriptedTask {
        title: "Review of the sign-in change",
        category: "code_review",
        tags: &["security"],
        message: "Review pull request 398.",
        answer: "Two remarks: the token is logged at debug level, and the retry has no limit.",
    },
    ScriptedTask {
        title: "Screenshots for the store page",
        category: "other",
        tags: &["release", "ios"],
        message: "Take the store screenshots on four sizes of phones.",
        answer: "Took 24 pictures on the simulated devices.",
    },
];

/// Creates the agents of an organization and `count` past sessions, owned by `people`.
///
/// # Errors
/// The database refuses.
pub async fn create_past_sessions(
    admin: &Administration,
    organization: OrganizationId,
    people: &[PrincipalId],
    count: u64,
) -> CommandResult<Vec<Agent>> {
    let granted = admin.system.grant::<UseSessions>(organization);
    let mut agents = Vec::new();
    for name in NAMES {
        let new = NewAgent {
            name: name.to_owned(),
            description: Some("Answers from a script of the demo: no model is used.".to_owned()),
            tags: vec!["demo".to_owned()],
            capabilities: Json::encode(&[(); 0]),
            ..NewAgent::default()
        };
        agents.push(definitions::create_agent(admin, &granted, new).await?);
    }
    for _ in 0..count {
        let owner = people[random_below(people.len() as u64) as usize];
        let task = &TASKS[random_below(TASKS.len() as u64) as usize];
        let agent = &agents[usize::from(task.tags.contains(&"triage"))];
        let mut story =
            Story::begin(organization, owner, agent, task.title, random_working_time(now()), |given| {
                given.category = Some(task.category.to_owned());
                given.tags = task.tags.iter().map(|&tag| tag.to_owned()).collect();
                given.origin = ["api", "webapp", "slack", "cli"][random_below(4) as usize].to_owned();
                given.repos = vec![format!("acme/{}", ["app", "backend"][random_below(2) as usize])];
            })?;
        story.post(task.message)?;
        story.answer(task.answer)?;
        story.import(admin).await?;
    }
    Ok(agents)
}

/// Creates sessions that work, wait, finish or fail once the demo's worker has claimed them.
///
/// # Errors
/// The database refuses.
pub async fn create_current_sessions(
    admin: &Administration,
    organization: OrganizationId,
    owner: PrincipalId,
    agents: &[Agent],
) -> CommandResult<()> {
    let single = [
        ("Watch the nightly build", "Look at the build slowly, and say what you see."),
        ("Which tests are flaky?", "Which tests failed and passed on the same commit this week?"),
        ("Release notes 4.2", "Write the release notes for 4.2."),
        ("Android 17", "Upgrade the app to Android 17."),
    ];
    for (number, (title, message)) in single.into_iter().enumerate() {
        let agent = &agents[usize::from(number == 1)];
        let mut story = Story::begin(organization, owner, agent, title, now(), |_| {})?;
        story.post(message)?;
        story.import(admin).await?;
    }
    let mut parent =
        Story::begin(organization, owner, &agents[0], "Move three services to JDK 25", now(), |_| {})?;
    for service in ["accounts", "prices", "search"] {
        let title = format!("JDK 25: {service}");
        let of = parent.id();
        let mut child =
            Story::begin(organization, owner, &agents[0], &title, now(), |given| given.parent = Some(of))?;
        child.post(&format!("Move the service {service} to JDK 25."))?;
        parent.adopt(child.id())?;
        child.import(admin).await?;
    }
    parent.post("Watch the three services slowly until they are done.")?;
    parent.import(admin).await
}
