//! How long messages are kept.

use serde::{Deserialize, Serialize};

/// How long messages are kept on this device, from when they came to be here, by the home's clock.
///
/// What is older is erased within the hour while the client is open, and only once the home has told the time: a wrong
/// clock must not erase anything. What has not arrived at its recipient stays until it has.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/stage.rs"));
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let stage = Stage::set().await;
/// # let client = stage.client("alice").await;
/// use kez_chat_sdk::Retention;
///
/// assert_eq!(client.retention().await?, Retention::Forever);
/// client.set_retention(Retention::Days(90)).await?;
/// // Notes to oneself stay.
/// let notes = client.conversation(client.primary());
/// notes.set_retention(Some(Retention::Forever)).await?;
/// # assert_eq!(client.retention().await?, Retention::Days(90));
/// # assert_eq!(notes.retention().await?, Some(Retention::Forever));
/// # client.shutdown().await;
/// # stage.strike().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retention {
    /// Until the person takes them away.
    #[default]
    Forever,
    /// For so many days; 0 is taken for 1.
    Days(u32),
}

impl Retention {
    /// Returns the number that stands for it in the database.
    pub(crate) fn to_days(self) -> u32 {
        match self {
            Self::Forever => 0,
            Self::Days(days) => days.max(1),
        }
    }

    pub(crate) fn from_days(days: u32) -> Self {
        if days == 0 { Self::Forever } else { Self::Days(days) }
    }
}
