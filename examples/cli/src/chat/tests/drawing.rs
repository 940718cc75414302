use ratatui::style::{Color, Modifier};

use super::*;
use crate::api::files::Progress;
use crate::chat::{
    composer::Purpose,
    screen::{Direction, UnderWay},
};

#[test]
fn a_conversation_has_a_title_its_messages_and_a_line_to_write_in() {
    let mut screen = screen();
    screen.latest(vec![theirs(1, "Hello"), ours(2, "Hello, Bob", MessageState::Read)], true);
    assert_eq!(
        drawn(&mut screen, 74, 8),
        [
            " @bob · online",
            "",
            "",
            "── Monday 23 November 2026 ───────────────────────────────────────────────",
            "14:04 @bob: Hello",
            "14:05 you: Hello, Bob · read",
            ">",
            "Enter sends · Alt-Enter new line · PageUp scrolls · /help · Ctrl-C ends",
        ]
    );
}

#[test]
fn the_title_says_whether_they_are_there() {
    let mut screen = screen();
    for (availability, last_seen_ms, says) in [
        (Availability::Online, None, " @bob · online".to_owned()),
        (Availability::Away, Some(NOON), " @bob · away".to_owned()),
        (Availability::Offline, None, " @bob · not there".to_owned()),
        (Availability::Offline, Some(NOON), format!(" @bob · last seen {}", crate::human::time(NOON))),
    ] {
        screen.presence = (availability, last_seen_ms);
        assert_eq!(drawn(&mut screen, 60, 8)[0], says);
    }
}

#[test]
fn what_is_wrong_stands_below_the_title() {
    let mut screen = screen();
    screen.trouble = Some("the key of @bob has changed; ask them".to_owned());
    screen.offline = Some("offline: no way to kez.lat".to_owned());
    assert_eq!(
        drawn(&mut screen, 40, 9)[1..4],
        ["! STOPPED: the key of @bob has changed;", "ask them", "! offline: no way to kez.lat"]
    );
    (screen.trouble, screen.offline) = (None, None);
    assert_eq!(drawn(&mut screen, 70, 9)[1], "");
}

#[test]
fn each_message_of_ours_says_how_far_it_came() {
    for (state, says) in [
        (MessageState::Queued, "kept"),
        (MessageState::InboxFull, "kept: their inbox is full"),
        (MessageState::Sent, "sent"),
        (MessageState::Unconfirmed, "sent, not confirmed for days"),
        (MessageState::Delivered, "delivered"),
        (MessageState::Read, "read"),
        (MessageState::Withdrawn, "not sent"),
    ] {
        let mut screen = screen();
        screen.latest(vec![ours(1, "x", MessageState::Queued)], true);
        assert!(screen.scrollback.set_state(&format!("{:032x}", 1), state));
        assert_eq!(view(&mut screen, 60, 8)[1], format!("14:04 you: x · {says}"));
    }
    // A receipt for somebody else's message, or for one that is not held, changes nothing.
    let mut screen = screen();
    screen.latest(vec![theirs(1, "x")], true);
    assert!(!screen.scrollback.set_state(&format!("{:032x}", 1), MessageState::Read));
    assert_eq!(view(&mut screen, 60, 8)[1], "14:04 @bob: x");
}

#[test]
fn what_was_said_about_a_message_stands_with_it() {
    let mut screen = screen();
    let mut first = ours(1, "Shall we meet\nat nine?", MessageState::Read);
    let reaction = |by: &str, emoji: &str| Reaction { by: by.to_owned(), emoji: emoji.to_owned() };
    first.reactions = vec![reaction(BOB, "👍"), reaction(OWN, "❤")];
    let mut answer = theirs(2, "Better at ten");
    answer.content = Content::Text { text: "Better at ten".to_owned(), edited: true };
    answer.reply_to = Some(name_of(&first));
    let deleted = Message { content: Content::Deleted, ..theirs(3, "") };
    let ours_deleted = Message { content: Content::Deleted, ..ours(4, "", MessageState::Delivered) };
    let unknown = Message { content: Content::Unsupported { kind: 77 }, ..theirs(5, "") };
    let mut to_unknown = theirs(6, "yes");
    to_unknown.reply_to = Some(name_of(&theirs(99, "")));
    let doubtful = Message { in_doubt: true, ..theirs(7, "Send money") };
    screen.latest(vec![first, answer, deleted, ours_deleted, unknown, to_unknown, doubtful], true);
    assert_eq!(
        view(&mut screen, 66, 30)[1..],
        [
            "14:04 you: Shall we meet",
            "      at nine? · read",
            "    + @bob: 👍",
            "    + you: ❤",
            "    > you: Shall we meet at nine?",
            "14:05 @bob: Better at ten · edited",
            "14:06 @bob took this back",
            "14:07 you took this back",
            "14:08 @bob sent something that this version can't show",
            "    > an earlier message",
            "14:09 @bob: yes",
            "    ! something is wrong with the sender's key or sigchain:",
            "14:10 @bob: Send money",
        ]
    );
}

#[test]
fn offers_say_how_to_fetch_them() {
    let mut screen = screen();
    let many: Vec<(String, u64)> = (1..=7).map(|number| (format!("{number}.jpg"), 1_000_000)).collect();
    let many: Vec<(&str, u64)> = many.iter().map(|(name, size)| (name.as_str(), *size)).collect();
    let mut own = offer(3, 0, &[("notes.txt", 12)]);
    own.is_own = true;
    own.content = match own.content {
        Content::Files { files, .. } => Content::Files { share_id: None, files },
        other => other,
    };
    own.state = Some(MessageState::Delivered);
    screen.latest(vec![offer(1, 3, &[("report.pdf", 1_234_567)]), offer(2, 4, &many), own], true);
    assert_eq!(
        view(&mut screen, 60, 12)[1..],
        [
            "14:04 @bob shared report.pdf (1.2 MB): /fetch 3",
            "14:05 @bob shared 7 files (7.0 MB; 1.jpg, 2.jpg, 3.jpg,",
            "      4.jpg, 5.jpg and 2 more): /fetch 4",
            "14:06 you shared notes.txt (12 B) · delivered",
        ]
    );
}

#[test]
fn files_under_way_say_how_far_they_are() {
    let mut screen = screen();
    let progress = Progress {
        path: "report.pdf".to_owned(),
        done_bytes: 400_000,
        total_bytes: 1_200_000,
        bytes_per_s: Some(200_000),
        remaining_s: Some(4),
        over: None,
    };
    let fetch = UnderWay { direction: Direction::Fetch, asked_for: "3".to_owned(), progress: Some(progress) };
    screen.under_way.insert(1, fetch.clone());
    screen.under_way.insert(2, UnderWay { direction: Direction::Share, asked_for: "a\nb".to_owned(), progress: None });
    screen.under_way.insert(3, fetch.clone());
    screen.under_way.insert(4, UnderWay { asked_for: "not seen".to_owned(), progress: None, ..fetch });
    let line = "fetching report.pdf: 400.0 kB of 1.2 MB, 200.0 kB/s, 0:04 left";
    assert_eq!(drawn(&mut screen, 70, 10)[5..8], [line, "sealing a␊b", line]);
}

#[test]
fn days_are_parted_and_other_days_are_named() {
    let mut screen = screen();
    let mut late = theirs(2, "I wrote this yesterday");
    late.sent_at_ms -= DAY;
    let mut next = theirs(3, "Good morning");
    (next.sent_at_ms, next.stored_at_ms) = (NOON + DAY, NOON + DAY);
    let mut impossible = theirs(4, "From nowhere");
    (impossible.sent_at_ms, impossible.stored_at_ms) = (u64::MAX, NOON + DAY);
    screen.latest(vec![theirs(1, "Hello"), late, next, impossible], true);
    assert_eq!(
        view(&mut screen, 60, 12),
        [
            "── Monday 23 November 2026 ─────────────────────────────────",
            "14:04 @bob: Hello",
            "2026-11-22 14:05 @bob: I wrote this yesterday",
            "── Tuesday 24 November 2026 ────────────────────────────────",
            "14:03 @bob: Good morning",
            "??:?? @bob: From nowhere",
        ]
    );
}

#[test]
fn long_texts_are_broken_by_columns_and_set_in() {
    let mut screen = screen();
    screen
        .latest(vec![theirs(1, "世界世界世界世界世界 and a word"), ours(2, &"x".repeat(30), MessageState::Sent)], true);
    assert_eq!(
        view(&mut screen, 26, 12)[1..],
        [
            "14:04 @bob: 世界世界世界世",
            "      界世界 and a word",
            "14:05 you: xxxxxxxxxxxxxxx",
            "      xxxxxxxxxxxxxxx",
            "      · sent"
        ]
    );
    // A head that leaves no room for the text has a line to itself.
    let mut screen = with("@a.very.long.name@a.very.long.home", Palette::plain());
    screen.latest(vec![theirs(1, "Hello, how are you?")], true);
    assert_eq!(view(&mut screen, 26, 12)[1..], ["14:04 @a.very.long…:", "      Hello, how are you?"]);
}

#[test]
fn what_a_peer_writes_cannot_act_on_the_terminal_or_pass_for_something_else() {
    let evil = "\x1b[2J\x1b]0;owned\x07\u{9b}31m \u{202e}txt.exe\r\n14:03 you: I owe you\n    + 👍 you\n-- fetched";
    let mut screen = with("@b\x1b[2Job\u{202e}", Palette::plain());
    screen.trouble = Some(evil.to_owned());
    screen.offline = Some(evil.to_owned());
    screen.notice(evil);
    let mut answer = theirs(2, evil);
    answer.reply_to = Some(name_of(&theirs(1, "")));
    answer.reactions = vec![Reaction { by: BOB.to_owned(), emoji: "\x1b[2J\n".to_owned() }];
    screen.latest(vec![theirs(1, evil), answer, offer(3, 3, &[(evil, 1)]), ours(4, evil, MessageState::Sent)], true);
    let progress = Some(Progress { path: evil.to_owned(), ..Progress::default() });
    screen.under_way.insert(1, UnderWay { direction: Direction::Fetch, asked_for: evil.to_owned(), progress });
    screen.under_way.insert(2, UnderWay { direction: Direction::Share, asked_for: evil.to_owned(), progress: None });
    screen.composer.set(evil, Purpose::Answer(1));
    screen.say(evil);
    for columns in [20, 33, 80] {
        let lines = drawn(&mut screen, columns, 60);
        for line in &lines {
            assert!(!line.contains(|c: char| c.is_control() || c == '\u{202e}'), "{line:?}");
        }
    }
    let lines = view(&mut screen, 80, 60);
    assert!(lines.iter().any(|line| line == "      14:03 you: I owe you"), "{lines:#?}");
    assert!(!lines.iter().any(|line| line.starts_with("14:03 you")), "{lines:#?}");
    assert!(lines.iter().any(|line| line == "          + 👍 you"), "{lines:#?}");
    assert!(lines.iter().any(|line| line == "      -- fetched"), "{lines:#?}");
}

#[test]
fn colours_are_an_addition_that_one_can_do_without() {
    let drawn = |palette: Palette| {
        let mut screen = with("@bob", palette);
        screen.trouble = Some("the key has changed".to_owned());
        screen.latest(vec![theirs(1, "Hello"), ours(2, "Hello", MessageState::Read)], true);
        let mut terminal = Terminal::new(TestBackend::new(60, 12)).unwrap();
        terminal.draw(|frame| crate::chat::draw::draw(&screen, frame)).unwrap();
        terminal.backend().buffer().clone()
    };
    let (plain, coloured) = (drawn(Palette::plain()), drawn(Palette::coloured()));
    assert!(plain.content().iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
    assert!(coloured.content().iter().any(|cell| cell.fg == Color::Red));
    assert!(plain.content().iter().any(|cell| cell.modifier.contains(Modifier::REVERSED)));
    let text =
        |buffer: &ratatui::buffer::Buffer| buffer.content().iter().map(|c| c.symbol().to_owned()).collect::<Vec<_>>();
    assert_eq!(text(&plain), text(&coloured));
}

#[test]
fn no_terminal_is_too_small_to_be_drawn_on() {
    let mut screen = screen();
    screen.trouble = Some("the key of @bob has changed".to_owned());
    screen.latest((1..=50).map(|place| theirs(place, "Hello, 世界")).collect(), true);
    screen.composer.set("one\ntwo\nthree\nfour\nfive\nsix", Purpose::Answer(50));
    for columns in 1..=30 {
        for lines in 1..=14 {
            let drawn = drawn(&mut screen, columns, lines);
            if columns >= 20 && lines >= 5 {
                assert!(drawn[0].starts_with(" @bob"), "{drawn:#?}");
                assert!(drawn[usize::from(lines) - 2].starts_with("  six") || lines < 6, "{drawn:#?}");
            }
            screen.scroll_up(3);
            screen.scroll_down(2);
        }
    }
    assert_eq!(drawn(&mut screen, 19, 5)[..2], ["the terminal is too", "small"]);
}

#[test]
fn what_is_written_takes_up_to_five_lines() {
    let mut screen = screen();
    for (text, lines) in [("", 1), ("one", 1), ("one\ntwo", 2), ("1\n2\n3\n4\n5\n6\n7", 5)] {
        screen.composer.set(text, Purpose::New);
        let drawn = drawn(&mut screen, 40, 12);
        let prompt = drawn.iter().position(|line| line.starts_with('>')).unwrap();
        assert_eq!(11 - prompt, lines, "{drawn:#?}");
    }
    // What was scrolled away is there again when there is room for it.
    for _ in 0..8 {
        screen.composer.area_mut().delete_char();
    }
    assert_eq!(drawn(&mut screen, 40, 12)[8..11], ["> 1", "  2", "  3"]);
    screen.composer.set(&"word ".repeat(20), Purpose::New);
    let drawn = drawn(&mut screen, 40, 12);
    assert_eq!(drawn[8], format!("> {}word", "word ".repeat(6)), "{drawn:#?}");
}
