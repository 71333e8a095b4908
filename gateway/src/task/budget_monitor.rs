//! Budgets and Meta's daily limit, looked at now and then: the owner hears of them before they stop anything.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{Config, Connection};
use crate::contact::severity::Severity;
use crate::ids::ConnectionName;
use crate::reply::budget_notice;
use crate::store::{self, Store};
use crate::task::context::TaskContext;
use crate::task::owner_notice::{NoticeOutcome, NoticeRoute, write};
use crate::task::sending_limits::people_a_day;
use crate::task::wakeups::Written;
use crate::time::Timestamp;

/// Often enough: from four fifths to all of a month's budget takes longer, and a flood is a few digests.
const LOOK_EVERY: Duration = Duration::from_secs(10);

pub async fn watch(context: Arc<TaskContext>) {
    loop {
        let (config, machine) = (context.live.get(), Arc::clone(&context.machine));
        let look = move |store: &Store| look(store, &config, machine.now());
        let Some(news) = context.store.durably(look).await else { return };
        for (connection, severity, text) in news {
            context.notices.tell(&connection, severity, text);
            context.wakeups.after(Written::Message);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

type News = Vec<(ConnectionName, Severity, String)>;

fn look(store: &Store, config: &Config, now: Timestamp) -> store::Result<News> {
    let mut news = Vec::new();
    if !now.is_sane() {
        return Ok(news);
    }
    let (month, mut notices) = (now.month(), Vec::new());
    for Connection { name, budget, .. } in &config.connections {
        let Some(budget) = budget else { continue };
        let notice = budget_notice::of_budget(name, budget, store.spent(name, now)?, &month);
        notices.extend(notice.map(|notice| (name.clone(), notice)));
    }
    for row in store.free()?.into_iter().filter(|row| row.month == month && row.left == 0) {
        let known = config.connections.iter().find(|known| known.name.0 == row.connection);
        notices.extend(known.map(|known| (known.name.clone(), budget_notice::of_free(&month))));
    }
    if let Some((about, limit)) = people_a_day(store, config)?
        && let Some(notice) = budget_notice::of_people(store.reach(now)?.people, limit, &now.day())
        && !store.has_notice(&about, &notice.field)?
    // once a day, since their number goes up and down
    {
        notices.push((about, notice));
    }
    for (about, notice) in notices {
        let told = write(store, config, &about, &notice, NoticeRoute::AnotherFirst, now)?;
        news.extend((told != NoticeOutcome::Before).then_some((about, notice.severity, notice.text)));
    }
    Ok(news)
}
