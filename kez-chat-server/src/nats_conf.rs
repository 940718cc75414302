//! The one generator of the broker's configuration.
//!
//! The same text goes to an operator (`kez-chat-server nats-conf`), into the deployment files and to the testbed's
//! broker. The split into accounts is what keeps users apart; `docs/PROTOCOL.md` §5 says which subjects they see.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use kez_core::broker::{AckScope, subject};

use crate::secret::{PublicKeys, ServerSecret};

/// The account that users land in.
pub(crate) const USER_ACCOUNT: &str = "KEZ";
/// The account that owns the streams.
pub(crate) const JS_ACCOUNT: &str = "JS";

/// How long a user's name is in subjects.
const NAME_CHARS: usize = 64;

const DEFAULT_MAX_FILE_STORE_BYTES: u64 = 20_000_000_000;

/// A broker's configuration for one node.
///
/// ```
/// use kez_chat_server::{nats_conf::NatsConf, secret::ServerSecret};
///
/// let secret = ServerSecret::generate(&mut rand::rng());
/// let conf = NatsConf::new(([127, 0, 0, 1], 4222).into(), "/var/lib/nats".into(), secret.public_keys());
/// assert!(conf.render().contains("auth_callout"));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NatsConf {
    /// Where clients connect. Port 0 lets the broker choose a free one.
    pub listen: SocketAddr,
    /// The directory of the message store.
    pub store_dir: PathBuf,
    /// The size of the message store in bytes, 20 GB by default; the inbox stream takes at most 80 % of it.
    pub max_file_store_bytes: u64,
    /// The server's public keys.
    pub keys: PublicKeys,
}

impl NatsConf {
    /// Describes a node with the default store size.
    pub fn new(listen: SocketAddr, store_dir: PathBuf, keys: PublicKeys) -> Self {
        Self { listen, store_dir, max_file_store_bytes: DEFAULT_MAX_FILE_STORE_BYTES, keys }
    }

    /// Tells whether everybody has these keys, so that the node may listen on loopback only.
    pub fn is_development(&self) -> bool {
        self.keys == ServerSecret::development().public_keys()
    }

    /// Renders the configuration as the text of a `nats.conf`.
    ///
    /// Further settings (TLS, `cluster {}`, WebSocket) may be appended to it.
    pub fn render(&self) -> String {
        let PublicKeys { issuer, callout_user, chat_server, sys_user, xkey } = &self.keys;
        // nats-server writes "any free port" as -1 and takes 0 for "the default".
        let port = match self.listen.port() {
            0 => "-1".to_owned(),
            port => port.to_string(),
        };
        let host = match self.listen {
            SocketAddr::V4(v4) => v4.ip().to_string(),
            SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
        };
        let store_dir = quoted(&self.store_dir.to_string_lossy());
        let max_file = self.max_file_store_bytes;
        let warning = if self.is_development() {
            "# FOR DEVELOPMENT: everybody has the secret keys to these. Never let it listen off loopback.\n"
        } else {
            ""
        };
        let mut exports = String::new();
        let mut imports = String::new();
        for (kind, subject) in shared_subjects() {
            // Writing to a String cannot fail.
            let _ = writeln!(exports, "      {{ {kind}: \"{subject}\", accounts: [{USER_ACCOUNT}] }}");
            let _ = writeln!(imports, "      {{ {kind}: {{ account: {JS_ACCOUNT}, subject: \"{subject}\" }} }}");
        }
        let mut mappings = String::new();
        for kind in ["inbox", "presence"] {
            let to = format!("kez.{kind}.{{{{splitfromleft(1,{NAME_CHARS})}}}}.{{{{wildcard(2)}}}}");
            let _ = writeln!(mappings, "      \"kez.{kind}.*.*\": \"{to}\"");
        }
        format!(
            r#"# Written by `kez-chat-server nats-conf`; it holds public keys only. Needs nats-server 2.10 or newer.
{warning}listen: "{host}:{port}"
max_payload: 131072

# What one connection may hold. A client has three subscriptions, a server some more. On their way to who reads slowly
# are up to 256 messages of 64 KiB, and to the server up to 100,000 names in one list. Who falls behind further is cut off.
max_subscriptions: 100
max_pending: 67108864

jetstream {{
  store_dir: {store_dir}
  max_file_store: {max_file}
}}

system_account: SYS
accounts {{
  SYS {{ users: [ {{ nkey: {sys_user} }} ] }}

  # Answers logins. Nobody else may be in this account: who can publish here can ask for a login.
  AUTH {{ users: [ {{ nkey: {callout_user} }} ] }}

  # The streams live apart from the users, who reach exactly what is exported here.
  {JS_ACCOUNT} {{
    jetstream {{ max_file: {max_file} }}
    users: [ {{ nkey: {chat_server} }} ]
    exports: [
{exports}    ]
  }}

  # Users are put here by the callout, with the permissions that it grants.
  {USER_ACCOUNT} {{
    imports: [
{imports}    ]
    # A recipient's name that is too long becomes two, which nobody may publish to. Otherwise the names that one account
    # makes up could make the list of inboxes longer than a connection takes.
    mappings: {{
{mappings}    }}
  }}
}}

authorization {{
  timeout: 2
  auth_callout {{
    issuer: {issuer}
    account: AUTH
    auth_users: [ {callout_user}, {chat_server}, {sys_user} ]
    xkey: {xkey}
  }}
}}
"#
        )
    }
}

/// Tells where acknowledgements of the second shape name our JS account.
pub(crate) fn ack_scope() -> AckScope {
    AckScope::of_account(JS_ACCOUNT, None)
}

/// What the JS account shares with the users', as (kind, subject).
pub(crate) fn shared_subjects() -> [(&'static str, String); 6] {
    let inbox = subject::INBOX_STREAM;
    [
        ("service", "kez.inbox.*.*".to_owned()),
        ("service", format!("$JS.ACK.{inbox}.*.>")),
        // nats-server's second shape of ack subjects, domain and account spelled out: with wildcards there it would
        // also match an ack of the first shape that belongs to somebody else's consumer.
        ("service", ack_scope().acks_of("*")),
        ("stream", "kez.deliver.*".to_owned()),
        ("service", "kez.presence.*.*".to_owned()),
        ("stream", "kez.pdeliver.*".to_owned()),
    ]
}

/// Quotes a string for the configuration's syntax.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
