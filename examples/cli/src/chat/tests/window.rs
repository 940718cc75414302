use super::*;
use crate::chat::scrollback::Wanted;

/// A conversation of so many messages, as the process that keeps it has it.
struct Kept(Vec<Message>);

const PAGE: usize = 100;

impl Kept {
    fn of(count: u64) -> Self {
        Self((1..=count).map(|place| theirs(place, &format!("message {place}"))).collect())
    }

    /// Gives a screen what it wants until it wants no more.
    fn serve(&self, screen: &mut Screen) -> Vec<Wanted> {
        let mut asked = Vec::new();
        while let Some(wanted) = screen.wanted() {
            assert_eq!(screen.wanted(), None, "it asks once");
            asked.push(wanted);
            let end = match wanted {
                Wanted::Latest => self.0.len(),
                Wanted::Older(place) => self.0.iter().take_while(|message| message.place < place).count(),
                Wanted::Newer(place) => {
                    let begin = self.0.iter().take_while(|message| message.place <= place).count();
                    let end = self.0.len().min(begin + PAGE);
                    screen.scrollback.newer(self.0[begin..end].to_vec(), end == self.0.len());
                    continue;
                }
            };
            let page = self.0[end.saturating_sub(PAGE)..end].to_vec();
            match wanted {
                Wanted::Older(_) => screen.scrollback.older(page, end <= PAGE),
                _ => screen.latest(page, end <= PAGE),
            }
        }
        asked
    }
}

fn first(screen: &mut Screen) -> String {
    view(screen, 40, 14).first().cloned().unwrap_or_default()
}

fn last(screen: &mut Screen) -> String {
    view(screen, 40, 14).last().cloned().unwrap_or_default()
}

#[test]
fn older_messages_are_asked_for_at_the_top() {
    let (kept, mut screen) = (Kept::of(250), screen());
    assert_eq!(kept.serve(&mut screen), [Wanted::Latest]);
    assert!(last(&mut screen).ends_with("message 250"));
    screen.scroll_up(5);
    assert!(last(&mut screen).ends_with("message 245"));
    assert_eq!(kept.serve(&mut screen), []);
    screen.scroll_to_top();
    assert!(first(&mut screen).starts_with("── "), "{}", first(&mut screen));
    assert_eq!(kept.serve(&mut screen), [Wanted::Older(151)]);
    assert!(view(&mut screen, 40, 14).iter().any(|line| line.ends_with("message 151")), "the view stays");
    screen.scroll_to_top();
    assert_eq!(kept.serve(&mut screen), [Wanted::Older(51)]);
    screen.scroll_to_top();
    assert_eq!(kept.serve(&mut screen), []);
    assert!(view(&mut screen, 40, 14)[1].ends_with("message 1"));
    screen.scroll_down(1000);
    assert!(last(&mut screen).ends_with("message 250"));
}

#[test]
fn ten_thousand_messages_are_not_held_at_once() {
    let (kept, mut screen) = (Kept::of(10_000), screen());
    kept.serve(&mut screen);
    let held = |screen: &Screen| screen.scrollback.last_first().count();
    let mut seen = 0;
    while !view(&mut screen, 40, 14).iter().any(|line| line.ends_with("message 1")) {
        screen.scroll_to_top();
        kept.serve(&mut screen);
        assert!(held(&screen) <= 2_000, "{}", held(&screen));
        seen += 1;
        assert!(seen < 200);
    }
    // All the way down again, without a gap.
    let mut next = 1;
    while next <= 10_000 {
        for line in view(&mut screen, 40, 14) {
            let number = line.rsplit_once(' ').and_then(|(_, number)| number.parse::<u64>().ok());
            if let Some(number) = number.filter(|_| line.contains("message")) {
                assert!(number <= next, "{number} after {next}");
                next = next.max(number + 1);
            }
        }
        screen.scroll_down(9);
        kept.serve(&mut screen);
        assert!(held(&screen) <= 2_000, "{}", held(&screen));
    }
    assert!(screen.scrollback.is_at_end());
}

#[test]
fn end_goes_to_the_last_message_at_once() {
    let (kept, mut screen) = (Kept::of(10_000), screen());
    kept.serve(&mut screen);
    for _ in 0..30 {
        screen.scroll_to_top();
        kept.serve(&mut screen);
    }
    assert!(!screen.scrollback.holds_end());
    screen.scrollback.scroll_to_end();
    assert_eq!(kept.serve(&mut screen), [Wanted::Latest]);
    assert!(screen.scrollback.is_at_end() && last(&mut screen).ends_with("message 10000"));
}

#[test]
fn the_view_stays_where_it_is_when_messages_come() {
    let (kept, mut screen) = (Kept::of(60), screen());
    screen.begin_at(60);
    kept.serve(&mut screen);
    screen.scroll_up(20);
    let before = view(&mut screen, 40, 14);
    screen.latest(vec![theirs(61, "new"), theirs(62, "newer")], false);
    assert_eq!(view(&mut screen, 40, 14), before);
    assert_eq!(drawn(&mut screen, 40, 14)[13], "2 new below, End goes there");
    assert_eq!(screen.newly_seen(), None);
    screen.scrollback.scroll_to_end();
    let lines = view(&mut screen, 40, 14);
    assert_eq!(lines[lines.len() - 3], "── new ─────────────────────────────────");
    assert_eq!(screen.newly_seen(), Some(62));
    assert_eq!(screen.newly_seen(), None);
    screen.wrote();
    assert!(!view(&mut screen, 40, 14).iter().any(|line| line.contains("── new")));
}

#[test]
fn what_nobody_looks_at_is_not_seen() {
    let mut screen = screen();
    screen.begin_at(0);
    screen.latest(vec![theirs(1, "Hello"), ours(2, "Hello", MessageState::Read)], true);
    screen.is_watched = false;
    assert_eq!(screen.newly_seen(), None);
    screen.is_watched = true;
    assert_eq!(screen.newly_seen(), Some(1), "ours is not told to be read");
}

#[test]
fn what_was_not_read_before_is_parted() {
    let (kept, mut screen) = (Kept::of(150), screen());
    screen.begin_at(147);
    kept.serve(&mut screen);
    let lines = view(&mut screen, 40, 14);
    assert_eq!(lines[lines.len() - 4], "── new ─────────────────────────────────");
    assert!(lines[lines.len() - 3].ends_with("message 148"));
    assert_eq!(screen.newly_seen(), Some(150));
    // The line stays where it is, and there is no other one.
    screen.latest(vec![theirs(151, "new")], false);
    let lines = view(&mut screen, 40, 14);
    assert!(lines[lines.len() - 5].starts_with("── new "), "{lines:#?}");
}

#[test]
fn what_comes_while_somebody_looks_is_not_parted() {
    let (kept, mut screen) = (Kept::of(3), screen());
    screen.begin_at(3);
    kept.serve(&mut screen);
    assert_eq!(screen.newly_seen(), None);
    screen.latest(vec![theirs(4, "new")], false);
    assert!(!view(&mut screen, 40, 14).iter().any(|line| line.starts_with("── new ")));
    assert_eq!(screen.newly_seen(), Some(4));
    screen.is_watched = false;
    screen.latest(vec![theirs(5, "newer")], false);
    let lines = view(&mut screen, 40, 14);
    assert!(lines[lines.len() - 2].starts_with("── new "), "{lines:#?}");
}

#[test]
fn messages_stand_in_the_order_of_their_places() {
    let mut screen = screen();
    screen.latest(vec![theirs(2, "two"), theirs(3, "three")], true);
    screen.notice("something happened");
    screen.latest(vec![theirs(1, "one"), theirs(2, "two, really"), theirs(4, "four")], true);
    // What is before the window is not put there alone; it comes in its page.
    assert_eq!(
        view(&mut screen, 40, 14)[1..],
        ["14:05 @bob: two, really", "14:06 @bob: three", "-- something happened", "14:07 @bob: four"]
    );
    screen.scrollback.replace(theirs(3, "three, really"));
    screen.scrollback.replace(theirs(9, "not held"));
    assert_eq!(view(&mut screen, 40, 14)[2], "14:06 @bob: three, really");
    assert_eq!(view(&mut screen, 40, 14).len(), 5);
}

#[test]
fn a_page_that_does_not_follow_leaves_no_gap() {
    let (kept, mut screen) = (Kept::of(100), screen());
    kept.serve(&mut screen);
    // A hundred came at once, and fifty of them are in the page.
    let page = |from: u64, to: u64| (from..=to).map(|place| theirs(place, &format!("message {place}"))).collect();
    screen.latest(page(151, 200), false);
    screen.scroll_to_top();
    assert_eq!(screen.wanted(), Some(Wanted::Older(151)));
    // While the view is elsewhere, what is between comes when it goes there.
    let mut other = super::screen();
    kept.serve(&mut other);
    other.scroll_up(20);
    other.latest(page(151, 200), false);
    assert!(!other.scrollback.holds_end());
    other.scroll_down(1000);
    assert_eq!(other.wanted(), Some(Wanted::Newer(100)));
}

#[test]
fn a_very_long_message_can_be_scrolled_through() {
    let mut screen = screen();
    screen.begin_at(0);
    let text: Vec<String> = (0..4_000).map(|line| format!("line {line:07}")).collect();
    screen.latest(vec![theirs(1, &text.join("\n")), theirs(2, "after it")], true);
    assert!(text.join("\n").len() > 48 << 10);
    screen.scroll_up(2_000);
    assert!(view(&mut screen, 40, 14).iter().any(|line| line.ends_with("line 0001995")));
    let before = view(&mut screen, 40, 14);
    screen.latest(vec![theirs(3, "and one more")], false);
    assert_eq!(view(&mut screen, 40, 14), before);
    screen.scroll_to_top();
    assert!(view(&mut screen, 40, 14)[2].ends_with("line 0000000"), "{:#?}", view(&mut screen, 40, 14));
    screen.scroll_down(usize::MAX);
    assert!(last(&mut screen).ends_with("and one more"));
}

#[test]
fn notices_are_bounded_too() {
    let mut screen = screen();
    for number in 0..1_000 {
        screen.notice(&format!("notice {number}"));
    }
    screen.scroll_to_top();
    assert_eq!(first(&mut screen), "-- notice 900");
}

#[test]
fn the_view_keeps_its_place_when_the_terminal_changes() {
    let (kept, mut screen) = (Kept::of(80), screen());
    kept.serve(&mut screen);
    screen.scroll_up(30);
    let at = first(&mut screen);
    let _ = drawn(&mut screen, 21, 7);
    let _ = drawn(&mut screen, 120, 50);
    assert_eq!(first(&mut screen), at);
    let _ = drawn(&mut screen, 3, 2);
    screen.scroll_up(1);
    assert_eq!(screen.wanted(), None);
}
