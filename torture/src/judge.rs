//! Holds what both applications saw against what was promised.

use std::{
    collections::{HashMap, HashSet},
    fmt,
};

use kez_chat_sdk::payload::MessageId;

use crate::ledger::{Mark, Record};

/// What became of the messages, in both directions together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Messages that a client's SDK has accepted.
    pub(crate) sent: u64,
    /// Those of them that the other application was given.
    pub(crate) delivered: u64,
    /// Those of them that it was not.
    pub(crate) lost: Vec<Found>,
    /// Messages that an application was given again after it had handled them, or a second time by one process.
    pub(crate) doubled: Vec<Found>,
    /// Messages that an application was given for the first time after a later one, or with a word that the order is broken:
    /// where nothing is lost, it never is.
    pub(crate) reordered: Vec<Found>,
    /// Messages of which the sender's SDK never said that they arrived.
    pub(crate) unconfirmed: u64,
}

/// A message that something is wrong with: the index of its sender, and its mark.
pub(crate) type Found = (usize, Mark);

impl Verdict {
    /// Judges two clients who wrote to each other.
    pub(crate) fn of(ledgers: [&[Record]; 2]) -> Self {
        let [alice, bob] = ledgers;
        let mut verdict = Self::default();
        verdict.judge(0, alice, bob);
        verdict.judge(1, bob, alice);
        verdict
    }

    /// Tells whether everything arrived that was sent, and its sender knows it.
    pub(crate) fn is_settled(&self) -> bool {
        self.lost.is_empty() && self.unconfirmed == 0
    }

    /// Tells whether no promise was broken.
    pub(crate) fn is_good(&self) -> bool {
        self.is_settled() && self.doubled.is_empty() && self.reordered.is_empty()
    }

    fn judge(&mut self, from: usize, sender: &[Record], recipient: &[Record]) {
        let mut shown = HashMap::new();
        let mut latest = None;
        let mut process = 0;
        let (mut handled, mut marked) = (HashSet::new(), HashSet::new());
        for record in recipient {
            match record {
                Record::Started => process += 1,
                Record::Shown(mark) => {
                    let before = shown.insert(*mark, process);
                    if before == Some(process) || handled.contains(mark) {
                        self.doubled.push((from, *mark));
                    }
                    if before.is_none() {
                        if marked.contains(mark) || latest.is_some_and(|latest| *mark < latest) {
                            self.reordered.push((from, *mark));
                        }
                        latest = latest.max(Some(*mark));
                    }
                }
                Record::Marked(mark) => drop(marked.insert(*mark)),
                Record::Handled(mark) => drop(handled.insert(*mark)),
                Record::Sending(_) | Record::Sent(..) | Record::Arrived(_) => {}
            }
        }
        let arrived: HashSet<MessageId> = sender
            .iter()
            .filter_map(|record| if let Record::Arrived(id) = record { Some(*id) } else { None })
            .collect();
        for record in sender {
            if let Record::Sent(mark, id) = record {
                self.sent += 1;
                if shown.contains_key(mark) {
                    self.delivered += 1;
                } else {
                    self.lost.push((from, *mark));
                }
                self.unconfirmed += u64::from(!arrived.contains(id));
            }
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, delivered, lost, doubled, reordered, .. } = self;
        let [lost, doubled, reordered] = [lost, doubled, reordered].map(Vec::len);
        write!(f, "sent {sent} delivered {delivered} lost {lost} doubled {doubled} reordered {reordered}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(number: u64, attempt: u32) -> Mark {
        Mark { number, attempt }
    }

    fn id(mark: Mark) -> MessageId {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&mark.number.to_le_bytes());
        id[8..12].copy_from_slice(&mark.attempt.to_le_bytes());
        MessageId(id)
    }

    /// What a sender of these writes, when all of it arrives.
    fn sender(marks: &[Mark]) -> Vec<Record> {
        let sent = marks.iter().flat_map(|it| [Record::Sending(*it), Record::Sent(*it, id(*it))]);
        [Record::Started].into_iter().chain(sent).chain(marks.iter().map(|it| Record::Arrived(id(*it)))).collect()
    }

    fn taken(mark: Mark) -> [Record; 2] {
        [Record::Shown(mark), Record::Handled(mark)]
    }

    fn judge(recipient: &[Record]) -> Verdict {
        Verdict::of([&sender(&[1, 2, 3].map(|number| mark(number, 1))), recipient])
    }

    #[test]
    fn all_is_well_when_each_comes_once_in_order() {
        let verdict = judge(&[1, 2, 3].map(|number| taken(mark(number, 1))).concat());
        assert!(verdict.is_good(), "{verdict:?}");
        assert_eq!(verdict.to_string(), "sent 3 delivered 3 lost 0 doubled 0 reordered 0");
    }

    #[test]
    fn what_was_not_handled_may_come_again_after_a_restart() {
        let [one, two, three] = [1, 2, 3].map(|number| mark(number, 1));
        let shown = [Record::Started, Record::Shown(one), Record::Shown(two), Record::Started];
        let verdict = judge(&[&shown[..], &taken(one), &taken(two), &taken(three)].concat());
        assert!(verdict.is_good(), "{verdict:?}");
    }

    #[test]
    fn a_loss_is_caught() {
        let verdict = judge(&[taken(mark(1, 1)), taken(mark(3, 1))].concat());
        assert_eq!((verdict.delivered, &verdict.lost[..]), (2, &[(0, mark(2, 1))][..]));
        assert!(!verdict.is_good());
    }

    #[test]
    fn a_double_is_caught_after_it_was_handled_and_within_one_process() {
        let [one, two, three] = [1, 2, 3].map(|number| mark(number, 1));
        let rest = [taken(two), taken(three)].concat();
        let after = [&[Record::Started][..], &taken(one), &[Record::Started], &taken(one), &rest].concat();
        let within = [&[Record::Started, Record::Shown(one)][..], &taken(one), &rest].concat();
        for recipient in [after, within] {
            let verdict = judge(&recipient);
            assert_eq!(verdict.doubled, [(0, one)]);
            assert!(verdict.is_settled() && !verdict.is_good());
        }
    }

    #[test]
    fn a_disorder_is_caught_once() {
        let verdict = judge(&[1, 3, 2].map(|number| taken(mark(number, 1))).concat());
        assert_eq!(verdict.reordered, [(0, mark(2, 1))]);
        assert!(verdict.is_settled() && !verdict.is_good());
    }

    #[test]
    fn a_word_of_disorder_is_caught_although_the_order_is_right() {
        let [one, two, three] = [1, 2, 3].map(|number| mark(number, 1));
        let verdict = judge(&[&taken(one)[..], &[Record::Marked(two)], &taken(two), &taken(three)].concat());
        assert_eq!(verdict.reordered, [(0, two)]);
    }

    #[test]
    fn a_message_that_its_sender_does_not_know_to_have_arrived_is_caught() {
        let mut alice = sender(&[mark(1, 1)]);
        alice.pop();
        let verdict = Verdict::of([&alice, &taken(mark(1, 1))]);
        assert_eq!(verdict.unconfirmed, 1);
        assert!(!verdict.is_good());
    }

    #[test]
    fn an_attempt_whose_call_was_killed_may_arrive_or_not_but_never_late() {
        let sent = sender(&[mark(1, 1), mark(2, 2)]);
        let without = [taken(mark(1, 1)), taken(mark(2, 2))].concat();
        let with = [taken(mark(1, 1)), taken(mark(2, 1)), taken(mark(2, 2))].concat();
        for recipient in [&without, &with] {
            let verdict = Verdict::of([&sent, recipient]);
            assert!(verdict.is_good(), "{verdict:?}");
            assert_eq!((verdict.sent, verdict.delivered), (2, 2));
        }
        let late = [taken(mark(1, 1)), taken(mark(2, 2)), taken(mark(2, 1))].concat();
        assert_eq!(Verdict::of([&sent, &late]).reordered, [(0, mark(2, 1))]);
    }

    #[test]
    fn both_directions_are_judged() {
        let alice = [sender(&[mark(1, 1)]), taken(mark(1, 1)).to_vec()].concat();
        let bob = sender(&[mark(1, 1)]);
        let verdict = Verdict::of([&alice, &bob]);
        assert_eq!((verdict.sent, verdict.delivered, &verdict.lost[..]), (2, 1, &[(0, mark(1, 1))][..]));
    }
}
