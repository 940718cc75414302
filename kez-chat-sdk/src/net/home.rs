//! The home server's HTTP interface (`docs/PROTOCOL.md` §3).

use kez_core::{
    handle::{Handle, Home},
    identity::{PrimaryKey, SecretKey, Statement},
    sigchain::Install,
};
use reqwest::StatusCode;
use serde::{Deserialize, Serialize};

use super::{HomeUrl, Http, NetError, guard::bad_answer};

/// The last millisecond of the year 9999.
const LAST_SOUND_MS: u64 = 253_402_300_799_999;

/// Speaks to one home server.
#[derive(Clone, Debug)]
pub(crate) struct HomeClient {
    http: Http,
    url: HomeUrl,
}

/// What a home says of itself.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Info {
    domain: String,
    pub(crate) now_ms: u64,
    pub(crate) server_keys: Vec<PrimaryKey>,
    pub(crate) nats: NatsInfo,
    /// A base, without a slash at its end.
    pub(crate) sigchain_url: String,
    #[cfg(feature = "files")]
    #[serde(default)]
    pub(crate) relays: Vec<String>,
}

/// Where a home's broker is.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct NatsInfo {
    pub(crate) urls: Vec<String>,
    pub(crate) streams: Vec<String>,
    pub(crate) epoch: String,
    pub(crate) jwt: Option<String>,
}

/// Whose handle it is.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Profile {
    pub(crate) handle: String,
    pub(crate) primary: PrimaryKey,
    pub(crate) sigchain_url: String,
    /// A hint that nobody believes: whatever it is, the rest of the profile counts.
    #[serde(default)]
    endpoints: serde_json::Value,
}

/// An endpoint that a home has seen on somebody's chain, or so it says.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "protocol", rename_all = "lowercase")]
pub(crate) enum EndpointHint {
    Nats { url: String },
    Iroh { install: Install },
}

/// How a registration ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RegisterOutcome {
    /// The handle is ours, now or already.
    Ours,
    /// Somebody else has it.
    Taken,
    /// Our key has another handle there: an earlier attempt got through, and its answer was lost.
    OursIs(Handle),
    /// The home gives it to nobody.
    Reserved,
}

/// What a home knows of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Membership {
    /// The key is registered.
    Registered,
    /// The key left for good.
    Retired,
    /// The key is not registered, and its handle is another key's.
    HandleOfAnother,
    /// Neither the key nor the handle is registered.
    Unknown,
}

#[derive(Serialize)]
struct Registration<'a> {
    handle: String,
    primary: &'a PrimaryKey,
    registration_sig: String,
}

#[derive(Serialize)]
struct Retirement<'a> {
    handle: String,
    primary: &'a PrimaryKey,
    retire_sig: String,
}

impl HomeClient {
    /// Prepares to speak to a home under the rules of the account that asks, which `http` keeps: an account on the open
    /// network does not dial a `localhost` home, whoever names one.
    pub(crate) fn new(home: &Home, http: Http) -> Self {
        Self { http, url: HomeUrl::of(home.clone()) }
    }

    /// Asks the home about itself, and refuses one that goes by another name than it was asked for.
    pub(crate) async fn info(&self) -> Result<Info, NetError> {
        let url = format!("{}/v1/info", self.url.base());
        let info: Info = self.http.get(&url).await?;
        let asked = self.url.home().to_string();
        if info.domain != asked {
            return Err(NetError::WrongHome { asked, found: info.domain });
        }
        let nats = &info.nats;
        let base = !info.sigchain_url.ends_with('/') && !info.sigchain_url.contains(['?', '#']);
        if info.server_keys.is_empty() || nats.urls.is_empty() || nats.streams.is_empty() || !base {
            return Err(bad_answer(&url, "its info lacks a server key, a broker or a sigchain server"));
        }
        if info.now_ms > LAST_SOUND_MS {
            return Err(bad_answer(&url, "its clock is beyond the year 9999"));
        }
        Ok(info)
    }

    pub(crate) async fn profile(&self, handle: &Handle) -> Result<Profile, NetError> {
        self.http.get(&format!("{}/v1/u/{}", self.url.base(), handle.name())).await
    }

    pub(crate) async fn register(&self, key: &SecretKey, handle: &Handle) -> Result<RegisterOutcome, NetError> {
        let primary = key.primary();
        let signature = key.sign(&Statement::Register { handle, primary: &primary });
        let body =
            Registration { handle: handle.to_string(), primary: &primary, registration_sig: signature.to_base64() };
        match self.http.post_json(&format!("{}/v1/register", self.url.base()), &body).await {
            Ok(StatusCode::OK | StatusCode::CREATED) => Ok(RegisterOutcome::Ours),
            Ok(other) => Err(bad_answer(&self.url.base(), other)),
            Err(error) => match error.code() {
                "HandleTaken" => Ok(RegisterOutcome::Taken),
                "ReservedHandle" => Ok(RegisterOutcome::Reserved),
                "KeyTaken" => self.person(&primary).await.map(|(handle, _)| RegisterOutcome::OursIs(handle)),
                _ => Err(error),
            },
        }
    }

    /// Asks whether an account may log in, as far as the home tells everybody. Whoever was blocked counts as welcome.
    pub(crate) async fn membership(&self, primary: &PrimaryKey, handle: &Handle) -> Result<Membership, NetError> {
        let url = format!("{}/v1/p/{primary}", self.url.base());
        match self.http.get::<Profile>(&url).await {
            Ok(profile) if profile.primary == *primary => Ok(Membership::Registered),
            Ok(_) => Err(bad_answer(&url, "a profile that was not asked for")),
            Err(error) if error.is_gone() => Ok(Membership::Retired),
            // A home's own word: a page that is missing for another reason carries no code.
            Err(error) if error.is_not_found() && error.code() != "Refused" => match self.profile(handle).await {
                Err(error) if error.is_gone() => Ok(Membership::Retired),
                Ok(profile) if profile.primary == *primary => Ok(Membership::Registered),
                Ok(_) => Ok(Membership::HandleOfAnother),
                Err(error) if error.is_not_found() => Ok(Membership::Unknown),
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    /// Gives the handle up for good. It is given up as well where nobody has it, or somebody else.
    pub(crate) async fn retire(&self, key: &SecretKey, handle: &Handle) -> Result<(), NetError> {
        let primary = key.primary();
        let signature = key.sign(&Statement::Retire { handle, primary: &primary });
        let body = Retirement { handle: handle.to_string(), primary: &primary, retire_sig: signature.to_base64() };
        match self.http.post_json(&format!("{}/v1/retire", self.url.base()), &body).await {
            Err(error) if error.is_not_found() || error.code() == "HandleTaken" => {
                tracing::warn!(%error, "the home does not know us by this handle");
                Ok(())
            }
            answered => answered.map(drop),
        }
    }

    /// Asks which key a handle has; `None` if nobody has it.
    pub(crate) async fn key_of(&self, handle: &Handle) -> Result<Option<PrimaryKey>, NetError> {
        match self.profile(handle).await {
            Ok(profile) if profile.handle == handle.to_string() => Ok(Some(profile.primary)),
            Ok(_) => Err(bad_answer(&self.url.base(), "a profile that was not asked for")),
            Err(error) if says_nobody(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Asks which handle a key has here; `None` if it has none.
    pub(crate) async fn handle_of(&self, primary: &PrimaryKey) -> Result<Option<Handle>, NetError> {
        match self.person(primary).await {
            Ok((handle, _)) => Ok(Some(handle)),
            Err(error) if says_nobody(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Asks which handle a key has here, and where the home has seen it listen.
    pub(crate) async fn person(&self, primary: &PrimaryKey) -> Result<(Handle, Vec<EndpointHint>), NetError> {
        let url = format!("{}/v1/p/{primary}", self.url.base());
        let profile: Profile = self.http.get(&url).await?;
        let handle =
            Handle::from_qualified(&profile.handle, self.url.policy()).map_err(|error| bad_answer(&url, error))?;
        if profile.primary == *primary && handle.home() == self.url.home() {
            let hints = profile.endpoints.as_array().into_iter().flatten();
            Ok((handle, hints.filter_map(|hint| EndpointHint::deserialize(hint).ok()).collect()))
        } else {
            Err(bad_answer(&url, "a profile that was not asked for"))
        }
    }
}

/// Tells whether it is a home's own word that there is nobody: a page that is missing for another reason carries no code.
fn says_nobody(error: &NetError) -> bool {
    error.is_gone() || error.is_not_found() && error.code() != "Refused"
}
