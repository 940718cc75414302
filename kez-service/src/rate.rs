//! How often one client may ask.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota};

use crate::client::TrustedProxies;
use crate::problem::{Problem, code};

/// After so many requests, clients whose time is over are forgotten.
const SWEEP_EVERY: usize = 4096;

/// A number of requests in a time. So many are allowed at once, and come back evenly over that time.
///
/// ```
/// use kez_service::rate::Rate;
///
/// let rate: Rate = "20/h".parse()?;
/// assert_eq!(rate, Rate::per_hour(20));
/// assert_eq!("off".parse(), Ok(Rate::OFF));
/// # Ok::<(), kez_service::rate::BadRate>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(Option<(NonZeroU32, Per)>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Per {
    Second,
    Minute,
    Hour,
    Day,
}

impl Per {
    const ALL: [(Self, &str, u64); 4] =
        [(Self::Second, "s", 1), (Self::Minute, "m", 60), (Self::Hour, "h", 3600), (Self::Day, "d", 86_400)];
}

/// A text that is no rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a number of requests in a second, minute, hour or day, such as `20/h`, or `off`")]
pub struct BadRate;

impl Rate {
    /// No limit.
    pub const OFF: Self = Self(None);

    /// Allows `count` requests an hour; none is no limit.
    pub const fn per_hour(count: u32) -> Self {
        Self::new(count, Per::Hour)
    }

    /// Allows `count` requests a minute; none is no limit.
    pub const fn per_minute(count: u32) -> Self {
        Self::new(count, Per::Minute)
    }

    const fn new(count: u32, per: Per) -> Self {
        match NonZeroU32::new(count) {
            Some(count) => Self(Some((count, per))),
            None => Self::OFF,
        }
    }

    fn quota(self) -> Option<Quota> {
        let (count, per) = self.0?;
        let seconds = Per::ALL.iter().find(|(unit, ..)| *unit == per)?.2;
        // A count above the nanoseconds of its time is as good as none.
        let one = Duration::from_secs(seconds) / count.get();
        Quota::with_period(one).map(|quota| quota.allow_burst(count))
    }
}

impl FromStr for Rate {
    type Err = BadRate;

    fn from_str(text: &str) -> Result<Self, BadRate> {
        if text == "off" {
            return Ok(Self::OFF);
        }
        let (count, unit) = text.split_once('/').ok_or(BadRate)?;
        let count: NonZeroU32 = count.trim().parse().map_err(|_| BadRate)?;
        let per = Per::ALL.iter().find(|(_, name, _)| *name == unit.trim()).ok_or(BadRate)?.0;
        Ok(Self(Some((count, per))))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |wanted| Per::ALL.iter().find(|(unit, ..)| *unit == wanted).map_or("", |(_, name, _)| name);
        match self.0 {
            None => formatter.write_str("off"),
            Some((count, per)) => write!(formatter, "{count}/{}", name(per)),
        }
    }
}

/// Counts the requests of each client, an IPv4 address or an IPv6 network of 64 bits. Clones count together.
#[derive(Clone, Debug)]
pub struct Limiter(Option<Arc<Counted>>);

#[derive(Debug)]
struct Counted {
    clients: DefaultKeyedRateLimiter<IpAddr>,
    proxies: TrustedProxies,
    checks: AtomicUsize,
}

impl Limiter {
    /// Counts from nothing.
    pub fn new(rate: Rate, proxies: TrustedProxies) -> Self {
        Self(rate.quota().map(|quota| {
            let clients = DefaultKeyedRateLimiter::keyed(quota);
            Arc::new(Counted { clients, proxies, checks: AtomicUsize::new(0) })
        }))
    }
}

impl Counted {
    fn check(&self, client: IpAddr) -> Result<(), Problem> {
        // A flood of addresses must not stay in memory longer than it counts.
        if self.checks.fetch_add(1, Ordering::Relaxed) % SWEEP_EVERY == SWEEP_EVERY - 1 {
            self.clients.retain_recent();
            self.clients.shrink_to_fit();
        }
        self.clients.check_key(&network_of(client)).map_err(|early| {
            let wait = early.wait_time_from(DefaultClock::default().now());
            Problem::new(
                StatusCode::TOO_MANY_REQUESTS,
                code::TOO_MANY,
                "too many requests from this address; ask later",
            )
            .retry_after(wait.as_secs() + 1)
        })
    }
}

/// Refuses a request with 429 when its client has asked too often; a middleware for `axum::middleware::from_fn_with_state`.
pub async fn limit(State(Limiter(counted)): State<Limiter>, request: Request, next: Next) -> Response {
    if let Some(counted) = counted {
        // Where the listener tells no peers, all are one.
        let client = counted.proxies.client_of(request.extensions(), request.headers());
        if let Err(problem) = counted.check(client.unwrap_or(Ipv4Addr::UNSPECIFIED.into())) {
            return problem.into_response();
        }
    }
    next.run(request).await
}

/// One subscriber has a whole IPv6 network of 64 bits.
fn network_of(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V4(_) => client,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_read_and_write_the_same() {
        for text in ["off", "1/s", "600/m", "20/h", "5/d"] {
            assert_eq!(text.parse::<Rate>().unwrap().to_string(), text);
        }
        for wrong in ["", "20", "20/", "0/h", "-1/h", "20/w", "h/20", "5000000000/s", "off/h"] {
            assert_eq!(wrong.parse::<Rate>(), Err(BadRate), "{wrong}");
        }
        assert_eq!(Rate::per_hour(0), Rate::OFF);
    }

    #[test]
    fn each_client_has_a_count_of_its_own() {
        let Limiter(Some(counted)) = Limiter::new(Rate::per_hour(2), TrustedProxies::default()) else { unreachable!() };
        let ask = |client: &str| counted.check(client.parse().unwrap()).map_err(|problem| problem.status());
        for client in ["192.0.2.1", "192.0.2.2", "2001:db8::1"] {
            assert_eq!([ask(client), ask(client)], [Ok(()), Ok(())], "{client}");
            assert_eq!(ask(client), Err(StatusCode::TOO_MANY_REQUESTS), "{client}");
        }
        // The same 64 bits, and others.
        assert_eq!(ask("2001:db8::ffff:1"), Err(StatusCode::TOO_MANY_REQUESTS));
        assert_eq!(ask("2001:db8:0:1::1"), Ok(()));
        assert!(Limiter::new(Rate::OFF, TrustedProxies::default()).0.is_none());
    }

    #[test]
    fn clients_whose_time_is_over_are_forgotten() {
        let quota = Quota::with_period(Duration::from_nanos(1)).unwrap();
        let (proxies, checks) = (TrustedProxies::default(), AtomicUsize::new(0));
        let counted = Counted { clients: DefaultKeyedRateLimiter::keyed(quota), proxies, checks };
        for n in 0..SWEEP_EVERY as u32 {
            let client = IpAddr::from(n.to_be_bytes());
            assert!(counted.check(client).is_ok());
        }
        assert!(counted.clients.len() < 100, "{}", counted.clients.len());
    }
}
