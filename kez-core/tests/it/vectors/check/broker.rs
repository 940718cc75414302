//! Subjects, routes, logins, frames and the auth callout.

use kez_core::{
    broker::{
        AckScope, Day, LoginNonce, Permissions, Route,
        callout::{CalloutRequest, IssuerKey, UserGrant, response_jwt, user_jwt},
        check_inbox_frame, check_presence_frame, subject,
    },
    identity::Statement,
};
use serde_json::{Value, json};

use super::{Outcome, array, key, list, members, number, optional, production_home, seed, text, unknown};

pub(in super::super) fn run(op: &str, input: &Value) -> Outcome {
    match op {
        "subjects" => {
            let [person, route] = members(input, ["key", "route"]);
            let (person, route) = (key(person)?, Route::from_bytes(array(route)));
            Ok(json!({
                "inbox": subject::inbox(&person),
                "inbox_publish": subject::inbox_publish(&person, &route),
                "presence_publish": subject::presence_publish(&person, &route),
                "deliver": subject::deliver(&person),
                "presence_deliver": subject::presence_deliver(&person),
                "reply_prefix": subject::reply_prefix(&person),
            }))
        }
        "route" => {
            let [sender, server, day_ms] = members(input, ["sender", "server", "day_ms"]);
            let (sender, server, day) = (seed(sender), key(server)?, Day::from_unix_ms(number(day_ms)));
            let route = Route::derive(&sender.agree(&server), day, &sender.primary(), &server);
            Ok(json!({"route": route.to_string(), "day": day.to_string()}))
        }
        "permissions" => {
            let [person, routes, account, domain] = members(input, ["key", "routes", "account", "domain"]);
            let routes: Vec<_> = list(routes).iter().map(|route| Route::from_bytes(array(route))).collect();
            let scope = AckScope::of_account(text(account), optional(domain, text));
            let Permissions { publish, subscribe } = Permissions::for_user(&key(person)?, &routes, &scope);
            Ok(json!({"publish": publish, "subscribe": subscribe}))
        }
        "login.sign" => {
            let [signer, domain, nonce] = members(input, ["seed", "domain", "nonce"]);
            let (signer, domain, nonce) = (seed(signer), production_home(domain)?, LoginNonce::parse(text(nonce))?);
            let sig = signer.sign(&Statement::NatsLogin { domain: &domain, nonce: &nonce });
            Ok(json!({"nkey": signer.primary().to_nkey(), "sig": sig.to_base64()}))
        }
        "frame.inbox" => {
            let [own, streams, subject, reply] = members(input, ["key", "streams", "subject", "reply"]);
            let streams: Vec<_> = list(streams).iter().map(text).collect();
            check_inbox_frame(text(subject), optional(reply, text), &key(own)?, &streams)?;
            Ok(json!({}))
        }
        "frame.presence" => {
            let [own, subject] = members(input, ["key", "subject"]);
            check_presence_frame(text(subject), &key(own)?)?;
            Ok(json!({}))
        }
        _ => callout(op, input),
    }
}

fn callout(op: &str, input: &Value) -> Outcome {
    match op {
        "callout.request" => {
            let [jwt] = members(input, ["jwt"]);
            let request = CalloutRequest::parse(text(jwt))?;
            Ok(json!({
                "server_id": request.server_id,
                "user_nkey": request.user_nkey,
                "nkey": request.client_nkey,
                "sig": request.client_sig,
                "nonce": request.nonce,
            }))
        }
        "callout.login" => {
            let [jwt, domain] = members(input, ["jwt", "domain"]);
            Ok(json!({"key": CalloutRequest::parse(text(jwt))?.login(&production_home(domain)?)?}))
        }
        "callout.response" => {
            let granted = input.get("grant").is_some();
            let [issuer, jwt, now_s, outcome] =
                members(input, ["issuer", "jwt", "now_s", if granted { "grant" } else { "error" }]);
            let (issuer, request) = (IssuerKey::from_seed(array(issuer)), CalloutRequest::parse(text(jwt))?);
            let user = granted.then(|| user(&issuer, &request, outcome, number(now_s)));
            let outcome = user.as_deref().ok_or_else(|| text(outcome));
            Ok(json!({"jwt": response_jwt(&issuer, &request, outcome, number(now_s))}))
        }
        _ => unknown(op),
    }
}

fn user(issuer: &IssuerKey, request: &CalloutRequest, grant: &Value, now_s: u64) -> String {
    let [account, client_nkey, expires_at_s, publish, subscribe] =
        members(grant, ["account", "client_nkey", "expires_at_s", "publish", "subscribe"]);
    let subjects = |list_of: &Value| list(list_of).iter().map(|subject| text(subject).to_owned()).collect();
    user_jwt(
        issuer,
        &UserGrant {
            account: text(account),
            user_nkey: &request.user_nkey,
            client_nkey: text(client_nkey),
            permissions: &Permissions { publish: subjects(publish), subscribe: subjects(subscribe) },
            issued_at_s: now_s,
            expires_at_s: number(expires_at_s),
        },
    )
}
