//! The step processes of a scenario, and the judgement whether every event reached them.

use super::protocol::{EXPECT_PATH, Expect, SEEN_PATH, Sightings};
use crate::child::Running;
use crate::client::Client;
use crate::control::Started;
use crate::systems::Step;
use anyhow::{Result, bail};
use std::collections::BTreeMap;
use std::ops::Range;
use std::process::Command;

/// Two step processes: neighbours of a workflow never share one.
#[derive(Debug)]
pub(super) struct Workers {
    pub(super) even: Step,
    pub(super) odd: Step,
}

impl Workers {
    /// Starts both.
    ///
    /// # Errors
    /// One of them cannot be started.
    pub(super) fn start() -> Result<Self> {
        Ok(Self {
            even: worker()?,
            odd: worker()?,
        })
    }

    /// The one that serves the step of this number.
    pub(super) fn of(&self, step: usize) -> &Step {
        if step.is_multiple_of(2) {
            &self.even
        } else {
            &self.odd
        }
    }

    /// Makes both forget what they have seen.
    ///
    /// # Errors
    /// One of them does not answer.
    pub(super) async fn expect(&self, expect: &Expect) -> Result<()> {
        for worker in [&self.even, &self.odd] {
            worker.control.json::<()>(EXPECT_PATH, expect).await?;
        }
        Ok(())
    }

    /// What went wrong at a sender, with what a step has to say of it.
    ///
    /// # Errors
    /// That of the sender.
    pub(super) async fn explain<T>(&self, sent: Result<T>) -> Result<T> {
        let Err(error) = sent else { return sent };
        // when a step cannot even tell, the sender's error stands alone
        match self.seen().await {
            Err(step) => Err(error.context(format!("{step:#}"))),
            Ok(_) => Err(error),
        }
    }

    /// What both have seen.
    ///
    /// # Errors
    /// One of them does not answer, or something went wrong there.
    pub(super) async fn seen(&self) -> Result<Sightings> {
        let mut all = Sightings::default();
        for worker in [&self.even, &self.odd] {
            let one: Sightings = worker.control.json(SEEN_PATH, &()).await?;
            if one.error_count > 0 {
                bail!(
                    "{} errors in a step, first {:?}",
                    one.error_count,
                    one.errors
                );
            }
            all.seen.extend(one.seen);
        }
        Ok(all)
    }
}

fn worker() -> Result<Step> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("payload-step");
    let (running, started) = Running::start::<Started>(&mut command)?;
    let address = started.listening;
    Ok(Step {
        running,
        address,
        control: Client::new(address),
    })
}

/// Every one of these events reached every one of these places, and no other; gives how many came more than once.
///
/// # Errors
/// One did not, or came somewhere else.
pub(super) fn judge(sightings: &Sightings, places: &[String], numbers: &Range<u64>) -> Result<u64> {
    let mut counts: BTreeMap<(&str, u64), u64> = BTreeMap::new();
    for seen in &sightings.seen {
        *counts.entry((&seen.place, seen.number)).or_default() += 1;
    }
    let mut again = 0;
    for place in places {
        for number in numbers.clone() {
            match counts.remove(&(place.as_str(), number)) {
                None => bail!("event {number} did not reach {place}"),
                Some(count) => again += count - 1,
            }
        }
    }
    match counts.into_iter().next() {
        Some(((place, number), _)) => {
            bail!("event {number} reached {place}, where it was not sent")
        }
        None => Ok(again),
    }
}

/// The same, and nothing came twice.
///
/// # Errors
/// As [`judge`], or an event that came twice.
pub(super) fn judge_once(
    sightings: &Sightings,
    places: &[String],
    numbers: &Range<u64>,
) -> Result<()> {
    match judge(sightings, places, numbers)? {
        0 => Ok(()),
        again => bail!("{again} events came more than once"),
    }
}

#[cfg(test)]
mod tests {
    use super::{judge, judge_once};
    use crate::payloads::protocol::{Seen, Sightings};

    fn sightings(seen: &[(&str, u64)]) -> Sightings {
        let seen = seen.iter().map(|(place, number)| Seen {
            place: (*place).to_owned(),
            number: *number,
            took_nanos: 1,
            at_nanos: 1,
            head_bytes: 1,
            by_reference: false,
        });
        Sightings {
            seen: seen.collect(),
            ..Sightings::default()
        }
    }

    #[test]
    fn each_event_at_each_place_and_nothing_else() {
        let places = ["/a".to_owned(), "/b".to_owned()];
        let whole = [("/a", 0), ("/b", 0), ("/b", 1), ("/a", 1)];
        assert!(judge_once(&sightings(&whole), &places, &(0..2)).is_ok());
        assert!(judge_once(&sightings(&whole[..3]), &places, &(0..2)).is_err());
        let mut more = whole.to_vec();
        more.push(("/a", 1));
        assert_eq!(judge(&sightings(&more), &places, &(0..2)).unwrap(), 1);
        assert!(judge_once(&sightings(&more), &places, &(0..2)).is_err());
        more.push(("/c", 1));
        assert!(judge(&sightings(&more), &places, &(0..2)).is_err());
    }
}
