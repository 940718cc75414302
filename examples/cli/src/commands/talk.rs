//! `send` and `listen`.

use std::{future, io, time::Duration};

use kez_chat_sdk::{AccountError, Client, ConnectionState, Event, MessageState};
use tokio::{io::AsyncReadExt as _, time::sleep};

use crate::{
    args::Listen,
    context::Context,
    failure::{Failure, Kind},
    safe, view,
};

/// How long `send` waits for the broker; afterwards the message stays in the outbox.
const SEND_PATIENCE: Duration = Duration::from_secs(10);
/// Far more than a message holds; what is longer is refused as too long, whatever follows.
const MOST_INPUT: u64 = 1 << 20;

/// Returns the text of a message: what was typed, or standard input for `-`.
pub(crate) async fn text(context: &Context, typed: String) -> Result<String, Failure> {
    if typed != "-" {
        return Ok(typed);
    }
    let mut text = String::new();
    let read = async { Ok(tokio::io::stdin().take(MOST_INPUT).read_to_string(&mut text).await) };
    context.stop.or(read).await?.map_err(|error| {
        let advice = match error.kind() {
            io::ErrorKind::InvalidData => "send text in UTF-8; anything else goes with kez-chat share",
            _ => "give the text as an argument",
        };
        Failure::new(Kind::Usage, "BadInput", format!("standard input can't be read: {error}"), advice)
    })?;
    let end = text.trim_end_matches(['\r', '\n']).len();
    text.truncate(end);
    Ok(text)
}

/// Sends a message, and tells how far it came.
pub(crate) async fn send(context: &Context, client: &Client, who: &str, text: &str) -> Result<(), Failure> {
    let contact = client.contacts().find(who).await?;
    let id = client.conversation(contact.primary).send_text(text).await?;
    let state = client.wait_until(id, MessageState::Sent, SEND_PATIENCE).await?;
    context.output.show(&view::Sent {
        to: contact.handle.as_ref(),
        primary: contact.primary,
        id,
        state,
        own: client.handle().home(),
    })
}

/// Shows events as they come. Each is shown first and only then handled: one that nobody saw comes again.
pub(crate) async fn listen(context: &Context, client: &Client, arguments: &Listen) -> Result<(), Failure> {
    let own = client.handle();
    context.output.note(&format!("Listening as {}; Ctrl-C ends it", own.display_for(own.home())));
    let listening = async {
        let mut left = arguments.count;
        while left != Some(0) {
            let pending = client.next_event().await?;
            context.output.show(&view::Happened { event: &pending.event, own: own.home() })?;
            client.handled(pending.id).await?;
            if is_from_others(&pending.event) {
                left = left.map(|left| left - 1);
            }
        }
        Ok(())
    };
    tokio::select! {
        done = listening => done,
        ended = tell_of_connection(context, client) => Err(ended),
        () = out_of_time(arguments.timeout) => match arguments.count {
            None => Ok(()),
            Some(count) => Err(too_few(count)),
        },
    }
}

/// Tells whether `--count` counts an event: receipts for what was sent from here don't, nor what is told of sigchains.
fn is_from_others(event: &Event) -> bool {
    !matches!(event, Event::MessageState { .. } | Event::Contact { .. } | Event::OwnChain { .. })
}

/// Says when the broker is lost, and when it is there again. Ends only if nothing comes here any more.
async fn tell_of_connection(context: &Context, client: &Client) -> Failure {
    let mut connection = client.connection();
    let mut was_offline = false;
    let mut state = connection.current();
    loop {
        match state {
            ConnectionState::Offline { cause, .. } => {
                let cause = cause.to_string();
                context.output.note(&format!("Offline: {}; what others send waits for you", safe::line(&cause)));
                was_offline = true;
            }
            ConnectionState::Online if was_offline => {
                context.output.note("Online again");
                was_offline = false;
            }
            ConnectionState::SignedInElsewhere => return AccountError::SignedInElsewhere.into(),
            ConnectionState::Moved => return AccountError::Moved.into(),
            ConnectionState::Retired => return AccountError::Retired { primary: client.primary().into() }.into(),
            _ => {}
        }
        state = match connection.changed().await {
            Some(state) => state,
            None => future::pending().await,
        };
    }
}

async fn out_of_time(seconds: Option<u64>) {
    match seconds {
        Some(seconds) => sleep(Duration::from_secs(seconds)).await,
        None => future::pending().await,
    }
}

fn too_few(count: u64) -> Failure {
    let what = format!("the time is up, and fewer than {count} came");
    Failure::new(Kind::NotNow, "NotInTime", what, "what comes later is kept: run kez-chat listen again")
}
