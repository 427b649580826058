//! Callers that are remembered, as a server does, and compared with what a look-up says.

use crate::world::system;
use domain::credential::SecretHash;
use domain::ids::{PrincipalId, SessionId};
use domain::time::Micros;
use std::collections::HashMap;
use store::{AccessMoment, AccessWatch, Caller, OrganizationChoice, Store};

/// The issuer that tests ask for.
pub const ISSUER: &str = "https://issuer.example";

/// A credential and the organization that a request names.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Attempt {
    Key(SecretHash, OrganizationChoice),
    Login(SessionId, SecretHash, OrganizationChoice),
}

/// All that authentication reads of a caller, as text.
pub struct Answer {
    principal: PrincipalId,
    valid_until: Micros,
    text: String,
}

/// Remembers the answers to some attempts.
pub struct Remembered {
    pub store: Store,
    pub watch: AccessWatch,
    pub attempts: Vec<Attempt>,
    answers: HashMap<usize, (AccessMoment, Answer)>,
}

impl Remembered {
    pub fn new(store: &Store) -> Remembered {
        let watch = AccessWatch::new(store.clone());
        Remembered { store: store.clone(), watch, attempts: vec![], answers: HashMap::new() }
    }

    /// `None` when columns that only the session's page reads make no sense.
    async fn describe(&self, caller: Caller) -> Option<Answer> {
        let own = system().grant_person(caller.principal());
        let valid_until = caller.valid_until();
        let text = format!("{caller:?}").replace(&format!("valid_until: {valid_until:?}"), "");
        let factor = self.store.load_second_factor(&own).await.unwrap();
        let factor = factor.is_some_and(|factor| factor.confirmed.is_some());
        let identity = self.store.has_identity(&system(), caller.principal(), ISSUER).await.unwrap();
        let methods = match caller.authentication() {
            store::Authentication::Login(id) => match self.store.load_login(&own, id).await {
                Err(store::Error::Database(_)) => return None,
                login => login.ok().map(|login| login.methods),
            },
            store::Authentication::Key(_) => None,
        };
        let text = format!("{text} {factor} {identity} {methods:?}");
        Some(Answer { principal: caller.principal(), valid_until, text })
    }

    /// What a look-up says; the inner `None` is nobody.
    async fn read(&self, attempt: Attempt, now: Micros) -> Option<Option<Answer>> {
        let caller = match attempt {
            Attempt::Key(hash, chosen) => self.store.authenticate_key(&hash, chosen, now).await,
            Attempt::Login(id, hash, chosen) => {
                self.store.authenticate_login(id, &hash, chosen, now).await.map(|(caller, _)| caller)
            }
        };
        match caller {
            Ok(caller) => self.describe(caller).await.map(Some),
            Err(_) => Some(None),
        }
    }

    pub async fn moment(&self) -> AccessMoment {
        let look = self.store.look(&system()).await.unwrap();
        self.watch.catch_up(&look).await.unwrap().expect("it can be told")
    }

    /// Remembers every answer as it is now. Returns how many there are.
    pub async fn remember(&mut self, now: Micros) -> usize {
        self.answers.clear();
        for (at, attempt) in self.attempts.iter().enumerate() {
            let moment = self.moment().await;
            if let Some(Some(answer)) = self.read(*attempt, now).await {
                self.answers.insert(at, (moment, answer));
            }
        }
        self.answers.len()
    }

    /// Checks that every answer that a server would still give is right. Returns how many have changed, and how many are
    /// not remembered any more.
    pub async fn check(&self, what: &str, now: Micros) -> (usize, usize) {
        let (mut changed, mut forgotten) = (0, 0);
        self.moment().await;
        for (at, (moment, answer)) in &self.answers {
            let Some(read) = self.read(self.attempts[*at], now).await else { continue };
            let same =
                read.is_some_and(|read| read.text == answer.text && read.valid_until >= answer.valid_until);
            let is_forgotten = self.watch.has_changed(answer.principal, *moment) || answer.valid_until <= now;
            assert!(same || is_forgotten, "{what}: {:?} is {}", self.attempts[*at], answer.text);
            changed += usize::from(!same);
            forgotten += usize::from(is_forgotten);
        }
        (changed, forgotten)
    }
}
