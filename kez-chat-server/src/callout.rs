//! Who is let in: the one decision behind the broker's auth callout and its HTTP twin.

use std::time::Duration;

use kez_core::broker::callout::{CalloutRequest, IssuerKey, UserGrant, response_jwt, user_jwt};
use kez_core::broker::{Day, LoginError, Permissions, Route};
use kez_core::handle::Home;
use kez_core::identity::PrimaryKey;

use crate::broker::jetstream::{JetStream, JsError};
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::nats_conf::{USER_ACCOUNT, ack_scope};
use crate::registry::{Registry, RegistryError, Standing};
use crate::routes::Routes;
use crate::secret::ServerSecret;

/// A login lasts between these many seconds: long enough to be cheap, short enough that a block takes hold, and
/// random, so that people who came together (after a restart) do not come back together.
const LIFE_S: std::ops::RangeInclusive<u64> = 12 * 3600..=22 * 3600;

/// Why somebody was not let in. The client sees none of this, the broker's log and ours do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
enum Refusal {
    #[error("the login does not hold")]
    Login(#[from] LoginError),
    #[error("the key is not registered here")]
    Unregistered,
    #[error("the key is blocked")]
    Blocked,
    #[error("the key has retired")]
    Retired,
    #[error("the registry could not be asked")]
    Registry(#[from] RegistryError),
    #[error("the inbox could not be made ready")]
    Inbox(#[from] JsError),
}

impl Refusal {
    /// The stable word of logs and metrics.
    fn reason(&self) -> &'static str {
        match self {
            Self::Login(error) => error.code().as_str(),
            Self::Unregistered => "Unregistered",
            Self::Blocked => "Blocked",
            Self::Retired => "Retired",
            Self::Registry(_) => "RegistryFailed",
            Self::Inbox(_) => "InboxFailed",
        }
    }

    /// Whether the fault is this server's.
    fn is_ours(&self) -> bool {
        matches!(self, Self::Registry(_) | Self::Inbox(_))
    }
}

/// An answer to the broker.
pub(crate) struct Answer {
    /// The response JWT.
    pub(crate) jwt: String,
    /// Who was let in, if anybody was.
    pub(crate) admitted: Option<PrimaryKey>,
}

/// Judges logins.
pub(crate) struct Callout {
    issuer: IssuerKey,
    routes: Routes,
    probe: String,
    domain: Home,
    registry: Registry,
    clock: Clock,
    metrics: Metrics,
}

impl Callout {
    pub(crate) fn new(secret: &ServerSecret, domain: Home, registry: Registry, clock: Clock, metrics: Metrics) -> Self {
        Self {
            issuer: secret.issuer(),
            routes: Routes::new(secret.server_keys()),
            probe: secret.check_probe(),
            domain,
            registry,
            clock,
            metrics,
        }
    }

    /// Returns what derives the routes that logins are granted.
    pub(crate) fn routes(&self) -> &Routes {
        &self.routes
    }

    /// Tells whether it is the `check` command that logs in. It answers itself, and the broker takes the first answer
    /// that comes; so a server leaves this one alone. Whoever else presents the key waits for nothing.
    pub(crate) fn is_probe(&self, request: &CalloutRequest) -> bool {
        request.client_nkey.as_ref() == Some(&self.probe)
    }

    /// Counts a login that is not answered, because more of them come than can be judged in time. The broker gives it
    /// up by itself, and the client tries again.
    pub(crate) fn turn_away(&self, reason: &'static str) {
        self.metrics.login(reason);
    }

    /// Answers a request. Who asks is the caller's to know: a request is signed by whatever server key it names.
    pub(crate) async fn answer(&self, request: &CalloutRequest, js: &JetStream) -> Answer {
        let now_ms = self.clock.now_ms();
        let admitted = match self.admit(request, js, now_ms).await {
            Ok(admitted) => {
                self.metrics.login("Admitted");
                Ok(admitted)
            }
            Err(refusal) => {
                let reason = refusal.reason();
                self.metrics.login(reason);
                if refusal.is_ours() {
                    let error = &refusal as &dyn std::error::Error;
                    tracing::error!(reason, error, "a login failed for a fault of this server");
                } else {
                    // Any stranger can cause this line, and the metrics count it.
                    tracing::debug!(reason, "a login was refused");
                }
                Err(reason)
            }
        };
        let outcome = admitted.as_ref().map(|(_, jwt)| jwt.as_str()).map_err(|reason| *reason);
        let jwt = response_jwt(&self.issuer, request, outcome, now_ms / 1000);
        Answer { jwt, admitted: admitted.ok().map(|(user, _)| user) }
    }

    async fn admit(
        &self,
        request: &CalloutRequest,
        js: &JetStream,
        now_ms: u64,
    ) -> Result<(PrimaryKey, String), Refusal> {
        let user = request.login(&self.domain)?;
        match self.registry.by_primary(&user).await?.map(|entry| entry.standing) {
            Some(Standing::Active) => {}
            Some(Standing::Blocked) => return Err(Refusal::Blocked),
            Some(Standing::Retired) => return Err(Refusal::Retired),
            None => return Err(Refusal::Unregistered),
        }
        // Also for old hands: the broker may have lost its disk since they registered.
        js.ensure(&user).await?;

        let life_s = rand::random_range(LIFE_S);
        let now_s = now_ms / 1000;
        let routes = self.routes_of(&user, now_ms, Duration::from_secs(life_s));
        let permissions = Permissions::for_user(&user, &routes, &ack_scope());
        let grant = UserGrant {
            account: USER_ACCOUNT,
            user_nkey: &request.user_nkey,
            client_nkey: &user.to_nkey(),
            permissions: &permissions,
            issued_at_s: now_s,
            expires_at_s: now_s + life_s,
        };
        let jwt = user_jwt(&self.issuer, &grant);
        Ok((user, jwt))
    }

    /// Derives the user's routes under every server key for every UTC day that the login lives through.
    fn routes_of(&self, user: &PrimaryKey, now_ms: u64, life: Duration) -> Vec<Route> {
        let life_ms = u64::try_from(life.as_millis()).unwrap_or(u64::MAX);
        let today = Day::from_unix_ms(now_ms);
        let last = Day::from_unix_ms(now_ms.saturating_add(life_ms));
        // A login lives less than a day, so it sees one midnight at most.
        let days = if today == last { vec![today] } else { vec![today, last] };
        self.routes.of(user, &days)
    }
}
