//! The shape of a hint: `add_endpoint` ops as they stand in a chain (`docs/PROTOCOL.md` §4).

use kez_core::broker::subject;
use kez_core::identity::PrimaryKey;
use kez_core::sigchain::{IrohEndpoint, NatsEndpoint, State};
use serde::Serialize;
use utoipa::ToSchema;

/// The one op that adds an endpoint.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OpType {
    /// `add_endpoint`.
    AddEndpoint,
}

/// An `add_endpoint` op with all its members.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, ToSchema)]
#[serde(tag = "protocol", rename_all = "lowercase")]
pub(crate) enum EndpointOp {
    /// Where the person receives messages.
    Nats {
        /// `add_endpoint`.
        r#type: OpType,
        /// The home whose broker it is.
        home: String,
        /// The broker's URL as the person published it.
        url: String,
        /// The person's inbox subject.
        inbox: String,
    },
    /// Where the person serves files.
    Iroh {
        /// `add_endpoint`.
        r#type: OpType,
        /// The person's key in hex.
        node_id: String,
        /// The installation that serves, 16 hex digits.
        install: String,
        /// An `https` relay, if the person names one.
        #[serde(skip_serializing_if = "Option::is_none")]
        relay_url: Option<String>,
    },
}

impl EndpointOp {
    /// Lists the endpoints that readers of a chain use: of each protocol the last that was added and not removed.
    ///
    /// A chain may list thousands of others, which no answer has to carry. The op follows from what the chain's state
    /// keeps of it: its other members are fixed.
    pub(super) fn in_force(owner: &PrimaryKey, state: &State) -> Vec<Self> {
        let nats = state.nats().map(|NatsEndpoint { home, url }| Self::Nats {
            r#type: OpType::AddEndpoint,
            home: home.to_string(),
            url: url.clone(),
            inbox: subject::inbox(owner),
        });
        let iroh = state.iroh().map(|IrohEndpoint { install, relay_url }| Self::Iroh {
            r#type: OpType::AddEndpoint,
            node_id: owner.to_hex(),
            install: install.to_string(),
            relay_url: relay_url.clone(),
        });
        nats.into_iter().chain(iroh).collect()
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::BASE64URL_NOPAD;
    use kez_core::handle::{Home, Policy};
    use kez_core::identity::SecretKey;
    use kez_core::sigchain::{Chain, Install, Op, Timestamp};
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_hint_is_the_op_as_it_stands_in_the_chain() {
        let key = SecretKey::from_seed([1; 32]);
        let mut chain = Chain::new(key.primary(), Policy::Production);
        let home = Home::parse("kez.lat", Policy::Production).unwrap();
        let install = Install::from_bytes([9; 8]);
        let ops = [
            Op::AddNatsEndpoint { home: home.clone(), url: "tls://old.kez.lat".into() },
            Op::AddIrohEndpoint { install, relay_url: None },
            Op::AddNatsEndpoint { home, url: "tls://nats.kez.lat".into() },
            Op::AddIrohEndpoint { install, relay_url: Some("https://relay.kez.lat".into()) },
        ];
        let mut written = Vec::new();
        for op in ops {
            let event = chain.sign_next(&key, op, &Timestamp::from_unix_ms(0)).unwrap();
            let payload = event.jws().split('.').nth(1).unwrap();
            let payload = BASE64URL_NOPAD.decode(payload.as_bytes()).unwrap();
            written.push(serde_json::from_slice::<Value>(&payload).unwrap()["op"].take());
            // Each is in force when it has just been added.
            let hint = serde_json::to_value(EndpointOp::in_force(chain.primary(), chain.state())).unwrap();
            assert!(hint.as_array().unwrap().contains(written.last().unwrap()), "{hint}");
        }
        let hint = serde_json::to_value(EndpointOp::in_force(chain.primary(), chain.state())).unwrap();
        assert_eq!(hint, serde_json::json!([written[2], written[3]]));

        chain.sign_next(&key, Op::Retire, &Timestamp::from_unix_ms(0)).unwrap();
        assert!(EndpointOp::in_force(chain.primary(), chain.state()).is_empty());
    }
}
