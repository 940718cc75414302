//! Calls about the own account.

use std::sync::Arc;

use kez_chat_sdk::{Client, OldHandle, resolve_handle};

use crate::{
    api::{
        Done,
        account::{
            Account, Backup, Diagnosis, Doctor, Export, Move, MovePlan, PlanMove, Retire, SetVisibility, WriteBackup,
            WriteExport,
        },
    },
    failure::{Failure, Kind},
    owner::Owner,
};

pub(super) async fn backup(client: Client, call: WriteBackup) -> Result<Backup, Failure> {
    let kez_chat_sdk::Backup { made_at_ms, messages, bytes, .. } = client.backup_to(&call.file).await?;
    Ok(Backup { file: call.file, made_at_ms, messages, bytes })
}

pub(super) async fn export(client: Client, call: WriteExport) -> Result<Export, Failure> {
    let kez_chat_sdk::Export { contacts, conversations, messages, .. } = client.export_to(&call.file, |_| {}).await?;
    Ok(Export { file: call.file, contacts, conversations, messages })
}

pub(super) async fn plan_move(client: Client, call: PlanMove) -> Result<MovePlan, Failure> {
    let plan = client.account().plan_move(&resolve_handle(&call.to, None)?).await?;
    Ok(MovePlan {
        from: plan.from.to_string(),
        to: plan.to.to_string(),
        loses: plan.loses.iter().map(Into::into).collect(),
        gains: plan.gains.iter().map(Into::into).collect(),
        waiting: plan.waiting.len() as u64,
    })
}

pub(super) async fn move_to(owner: Arc<Owner>, call: Move) -> Result<Account, Failure> {
    let account = owner.client.account();
    let mut plan = account.plan_move(&resolve_handle(&call.to, None)?).await?;
    if call.without_old_home {
        plan = plan.without_old_home();
    }
    let old = if call.give_up_old { OldHandle::GiveUp } else { OldHandle::Keep };
    let moved = account.move_to(plan, old).await?;
    Ok(Account::of(&moved, owner.account().home_dir))
}

pub(super) async fn retire(owner: Arc<Owner>, call: Retire) -> Result<Account, Failure> {
    if call.handle.trim_start_matches('@') != owner.client.handle().to_string() {
        let what = format!("{} is not the handle of this account", call.handle);
        let advice = format!("type @{} to leave for good", owner.client.handle());
        return Err(Failure::new(Kind::Usage, "NotConfirmed", what, advice));
    }
    owner.client.account().retire().await?;
    Ok(owner.account())
}

pub(super) async fn set_visibility(client: Client, call: SetVisibility) -> Result<Done, Failure> {
    client.presence().set(call.visibility.into()).await?;
    Ok(Done {})
}

pub(super) async fn doctor(client: Client, call: Doctor) -> Result<Diagnosis, Failure> {
    let contact = match call.who {
        Some(who) => Some(super::find(&client, &who).await?.primary),
        None => None,
    };
    Ok(client.diagnose(contact).await.into())
}
