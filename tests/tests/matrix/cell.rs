//! One question, and whether its answer is the right one.

use crate::rows::{Ask, Denial, Grants, Row};
use crate::wire::{Answer, Shown, Speaker, Wire, wait_for_end};
use crate::world::{Stage, World};
use sluice_broker::Verb;
use std::net::Ipv4Addr;
use std::time::Duration;

/// An open connection of a user who is gone is cut within this time. A second is promised; a machine that is busy with
/// other tests may need longer to notice, and what cuts is an event, so that late is only ever a little late.
const CUT_WITHIN: Duration = Duration::from_secs(10);

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    NoCredentials,
    WrongSecret,
    NoPermit,
    Permit,
    DeniedByIp,
    ExpiredToken,
    Revoked,
}

impl Case {
    pub const ALL: [Self; 7] = [
        Self::NoCredentials,
        Self::WrongSecret,
        Self::NoPermit,
        Self::Permit,
        Self::DeniedByIp,
        Self::ExpiredToken,
        Self::Revoked,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::NoCredentials => "nobody",
            Self::WrongSecret => "wrong secret",
            Self::NoPermit => "no permit",
            Self::Permit => "permit",
            Self::DeniedByIp => "denied by IP",
            Self::ExpiredToken => "expired",
            Self::Revoked => "revoked",
        }
    }
}

/// What stands in one cell of the table.
pub enum Cell {
    /// As it should be, in a word.
    Right(String),
    /// There is no such question, and why.
    CannotBe(&'static str),
    Wrong(String),
}

pub fn judge(world: &World, verb: Verb, wire: Wire, case: Case) -> Cell {
    let ask = match wire.row(verb) {
        Row::Asks(ask) => ask,
        Row::Unsaid(why) => return Cell::CannotBe(why),
    };
    if let (Case::ExpiredToken, Some(why)) = (case, wire.no_tokens()) {
        return Cell::CannotBe(why);
    }
    let question = Question { world, wire, stage: world.stage(), ask };
    question.put(case).map_or_else(Cell::Wrong, Cell::Right)
}

/// A connection that was opened with a token ends with it: when it is taken away, or after the time it lasts.
pub fn ends_with_its_token(world: &World, wire: Wire, lasts: Option<Duration>) -> Result<(), String> {
    let first = [Verb::Send, Verb::SendSequenced, Verb::PermitCluster];
    let asks = first.into_iter().find_map(|verb| match wire.row(verb) {
        Row::Asks(ask) => Some(ask),
        Row::Unsaid(_) => None,
    });
    let Some(ask) = asks else { return Err("neither sends nor looks".to_owned()) };
    let question = Question { world, wire, stage: world.stage(), ask };
    question.grant(&question.ask.needs);
    let token = world.token(&question.stage.user, lasts);
    let mut speaker = question.connect(world.near(), token.clone());
    question.permitted(speaker.as_mut())?;
    if lasts.is_none() {
        world.delete_tokens(&question.stage.user);
    }
    question.is_cut(speaker.as_mut(), lasts.unwrap_or_default() + CUT_WITHIN)?;
    match question.act(question.connect(world.near(), token).as_mut()) {
        Answer::Unknown(_) => Ok(()),
        other => Err(format!("cut, and then let in again: {other:?}")),
    }
}

struct Question<'a> {
    world: &'a World,
    wire: Wire,
    stage: Stage,
    ask: Ask,
}

/// What the cell shows, or what is wrong.
type Verdict = Result<String, String>;

impl Question<'_> {
    fn put(&self, case: Case) -> Verdict {
        match case {
            Case::NoCredentials => self.stranger(Shown::Nothing),
            Case::WrongSecret => self.stranger(self.stage.wrong_credentials()),
            Case::ExpiredToken => self.stranger(self.world.expired_token(&self.stage.user)),
            Case::NoPermit => self.without_permit(),
            Case::Permit => self.with_permit(),
            Case::DeniedByIp => self.denied_by_address(),
            Case::Revoked => self.revoked(),
        }
    }

    fn connect(&self, from: Ipv4Addr, shown: Shown) -> Box<dyn Speaker> {
        self.wire.connect(self.world, from, shown)
    }

    fn grant(&self, grants: &Grants) {
        for (resource, actions) in grants {
            self.world.allow(&self.stage.user, &self.stage.fill(resource), actions);
        }
    }

    /// All requests but the last, as long as they are done; the first other answer.
    fn prepare(&self, speaker: &mut dyn Speaker) -> Option<Answer> {
        let before = &self.ask.requests[..self.ask.requests.len() - 1];
        before
            .iter()
            .map(|request| speaker.ask(&self.stage.fill(request)))
            .find(|answer| !matches!(answer, Answer::Done(_)))
    }

    /// The request that calls the verb.
    fn act(&self, speaker: &mut dyn Speaker) -> Answer {
        let last = self.ask.requests.last().expect("a row has a request");
        speaker.ask(&self.stage.fill(last))
    }

    /// Everybody else than the user is told the same, although the user may do it.
    fn stranger(&self, shown: Shown) -> Verdict {
        self.grant(&self.ask.needs);
        let mut speaker = self.connect(self.world.near(), shown);
        match self.act(speaker.as_mut()) {
            Answer::Unknown(_) => Ok("refused".to_owned()),
            other => Err(format!("{other:?}")),
        }
    }

    /// What comes before the verb is permitted; then the permit is taken away.
    fn without_permit(&self) -> Verdict {
        let prepared = self.ask.requests.len() > 1;
        if prepared {
            self.grant(&self.ask.needs);
        }
        self.grant(&self.ask.at_hand);
        let mut speaker = self.connect(self.world.near(), self.stage.credentials());
        if let Some(answer) = self.prepare(speaker.as_mut()) {
            return Err(format!("before the verb: {answer:?}"));
        }
        if prepared {
            self.world.withdraw(&self.stage.user);
        }
        self.denied(self.act(speaker.as_mut()))
    }

    fn with_permit(&self) -> Verdict {
        self.grant(&self.ask.needs);
        let mut speaker = self.connect(self.world.near(), self.stage.credentials());
        self.permitted(speaker.as_mut()).map(|()| "done".to_owned())
    }

    fn permitted(&self, speaker: &mut dyn Speaker) -> Result<(), String> {
        if let Some(answer) = self.prepare(speaker) {
            return Err(format!("before the verb: {answer:?}"));
        }
        match (self.act(speaker), &self.ask.denial) {
            (Answer::Done(shown), Denial::Hides(what)) if !shown.contains(&self.stage.fill(what)) => {
                Err(format!("the answer does not show it: {shown}"))
            }
            (Answer::Done(_), _) => Ok(()),
            (other, _) => Err(format!("{other:?}")),
        }
    }

    /// The same user with the same permit, from where a policy denies it.
    fn denied_by_address(&self) -> Verdict {
        self.grant(&self.ask.needs);
        // A deny on everything, and one as close as each of the permits: the closest decides, and of those a deny.
        self.world.deny_from_far(&self.stage.user, "*");
        for (resource, _) in &self.ask.needs {
            self.world.deny_from_far(&self.stage.user, &self.stage.fill(resource));
        }
        let mut speaker = self.connect(self.world.far(), self.stage.credentials());
        // What comes before the verb is denied just so.
        let answer = self.prepare(speaker.as_mut()).unwrap_or_else(|| self.act(speaker.as_mut()));
        match answer {
            // A number does not tell why, nor does that of what comes before a list; the same user does it from near.
            Answer::Denied(_) if matches!(self.ask.denial, Denial::Numbered(_) | Denial::Hides(_)) => {
                Ok("denied".to_owned())
            }
            Answer::Denied(words) if !words.contains("the decision is deny") => {
                Err(format!("the words do not tell why: {words}"))
            }
            Answer::Denied(words) if !words.contains("from 127.") => {
                Err(format!("the words do not tell from where: {words}"))
            }
            Answer::Denied(_) => Ok("denied".to_owned()),
            other => self.denied(other),
        }
    }

    fn denied(&self, answer: Answer) -> Verdict {
        let user = format!("User:{} has no permission to ", self.stage.user);
        match (answer, &self.ask.denial) {
            (Answer::Denied(words), Denial::Names(what)) => {
                let what = self.stage.fill(what);
                if words.contains(&user) && words.contains(&what) {
                    Ok("denied".to_owned())
                } else {
                    Err(format!("the words do not name {user}{what}: {words}"))
                }
            }
            (Answer::Denied(words), Denial::Numbered(number)) if words == self.stage.fill(number) => {
                Ok("denied".to_owned())
            }
            (Answer::Done(shown), Denial::Hides(what)) if !shown.contains(&self.stage.fill(what)) => {
                Ok("hidden".to_owned())
            }
            (other, _) => Err(format!("{other:?}")),
        }
    }

    /// The user does it; then the user is gone, and the connection with it.
    fn revoked(&self) -> Verdict {
        self.grant(&self.ask.needs);
        let mut speaker = self.connect(self.world.near(), self.stage.credentials());
        self.permitted(speaker.as_mut()).map_err(|why| format!("while all was well: {why}"))?;
        let how = self.world.revoke(&self.stage);
        self.is_cut(speaker.as_mut(), CUT_WITHIN).map_err(|why| format!("{how}, and {why}"))?;
        let mut again = self.connect(self.world.near(), self.stage.credentials());
        match self.act(again.as_mut()) {
            Answer::Unknown(_) => Ok(how.to_owned()),
            other => Err(format!("{how}, cut, and then let in again: {other:?}")),
        }
    }

    /// The server ends the connection, with the wire's last words, in this time.
    fn is_cut(&self, speaker: &mut dyn Speaker, within: Duration) -> Result<(), String> {
        let ending = wait_for_end(speaker).map_err(|e| format!("never cut: {e}"))?;
        if ending.after > within {
            return Err(format!("cut only after {:?}", ending.after));
        }
        if !ending.words.contains(self.wire.last_words()) {
            return Err(format!("the last words were {:?}", ending.words));
        }
        Ok(())
    }
}
