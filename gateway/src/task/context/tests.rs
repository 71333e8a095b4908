use std::collections::BTreeMap;

use super::*;
use crate::config::{ConfigurationFile, LoadOptions, read};
use crate::contact::Recipient;
use crate::ids::{ConnectionName, ContactId, MessageId};
use crate::machine::SystemMachine;
use crate::outbox::message::Content;
use crate::outbox::retry_policy::ApiAnswer;
use crate::outbox::scheduler::{SchedulerEffect, SchedulerInput};
use crate::random::Rng;
use crate::task::outbox_transaction::{StepStart, take};
use crate::time::{Clock, SystemClock};
use crate::whatsapp::errors::{ApiMessage, refusal};

/// Number restricted (docs/cloud-api.md 4.2): retrying makes it worse.
const RESTRICTED: i64 = 131_048;

fn compose(store: &Store, person: &str, phone: &str) -> rusqlite::Result<MessageId> {
    let lane = Conversation { connection: ConnectionName("main".into()), contact: ContactId(person.into()) };
    let to = Recipient::parse(phone).expect("a number");
    store.compose(&lane, &to, &Content::text("hot"), SystemClock.now())
}

fn posted(turn: &SendStep) -> Option<MessageId> {
    turn.done.iter().find_map(|effect| match effect {
        SchedulerEffect::Post(under_way) => Some(under_way.0.id),
        SchedulerEffect::Look(_)
        | SchedulerEffect::Merge(_)
        | SchedulerEffect::Load(_)
        | SchedulerEffect::Upload(_)
        | SchedulerEffect::Commit(_)
        | SchedulerEffect::WakeAt(_)
        | SchedulerEffect::Paused { .. }
        | SchedulerEffect::Resumed { .. } => None,
    })
}

/// The process before this start: its request is refused, since the number is restricted.
fn restrict(store: &Store, config: &Config) {
    let (mut sender, mut dice) = (Scheduler::new(BTreeMap::new()), Rng::seeded(1));
    let refused = ApiAnswer::Refused(refusal(ApiMessage { code: RESTRICTED, ..ApiMessage::default() }));
    let held = store.transaction(|store| {
        let id = compose(store, "nino", "+15550100001")?;
        let now = SystemClock.now();
        let first = take(store, &mut sender, StepStart::With(SchedulerInput::Wake), config, now, &mut dice)?;
        assert_eq!(posted(&first), Some(id));
        let answered = StepStart::With(SchedulerInput::Answered(id, refused.clone()));
        take(store, &mut sender, answered, config, now, &mut dice)?;
        store.restricted(now - QUALITY_WAIT)
    });
    assert_eq!(held.expect("on disk").len(), 1);
}

/// An event that arrives at once lets the sender take its turn in its own transaction (`task::mqtt_intake`), perhaps before the
/// sender's task runs at all.
#[tokio::test(flavor = "current_thread")]
async fn restrictions_are_loaded_before_the_first_event() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = format!(
        "[site]\nname = \"Bar\"\nstate_directory = {:?}\n[mqtt]\nurl = \"mqtt://127.0.0.1\"\n\
         [[connection]]\nname = \"main\"\nphone_number_id = \"1\"\naccess_token_file = \"t\"\napp_secret_file = \"s\"\n\
         verify_token_file = \"v\"\n\
         [[contact]]\nid = \"nino\"\nphone = \"+15550100001\"\n[[contact]]\nid = \"giorgi\"\nphone = \"+15550100002\"\n",
        folder.path()
    );
    let config = read("t.toml", &text, &LoadOptions { without_secrets: true, ..LoadOptions::default() });
    let config = Arc::new(config.expect("good"));
    let store = Store::open(folder.path(), &mut Rng::seeded(1)).expect("a store");
    restrict(&store, &config);

    let metrics = Arc::new(Metrics::new());
    let (reload, _requests) = ReloadHandle::new(ConfigurationFile::default());
    let (handle, thread) = store.start(metrics.commits()).expect("a thread");
    let (notices, _to_tell) = mpsc::channel(1);
    let (context, mut to_do) =
        TaskContext::new(handle, config, metrics, notices, Arc::new(SystemMachine), reload)
            .await
            .expect("a start");
    let (turns, live) = (Arc::clone(&context.scheduler), context.live.get());
    let event = move |store: &Store| {
        let id = compose(store, "giorgi", "+15550100002")?;
        let turn = turns.take(store, StepStart::With(SchedulerInput::Wake), &live, SystemClock.now())?;
        Ok((id, turn))
    };
    let (id, turn) = context.store.run(event).await.expect("on disk");
    assert_eq!(posted(&turn), None, "message {id} leaves over a restricted number");
    let told = to_do.try_recv().expect("the sender's task hears of it");
    assert!(matches!(told.done[..], [SchedulerEffect::Paused { .. }]), "{told:?}");
    assert!(context.store.run(move |store| store.restricted(Timestamp(0))).await.expect("read").len() == 1);

    drop(context);
    thread.close().await;
}
