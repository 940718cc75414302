//! Which relays carry files.

/// The relays through which peers are reached who can't be reached directly. A relay learns who talks to whom, when and how
/// much, and nothing of what.
///
/// ```
/// use kez_chat_sdk::Relays;
///
/// assert_eq!(Relays::default(), Relays::Home);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Relays {
    /// Those that the home names; none if it names none.
    #[default]
    Home,
    /// These, by their `https://` URLs. One that is no such URL shows as `BadRelay` when files are first shared or fetched.
    Custom(Vec<String>),
    /// None: who can't be reached directly can't be reached.
    None,
    /// The public ones that Iroh's makers run. They are used by nobody who did not ask for it.
    Public,
}
