//! Wake-ups between tasks. What there is to do is on disk: a task that is woken looks there, and each looks by itself
//! as well, every half a minute or so, so that a wake-up that was missed costs time and nothing else.

use tokio::sync::Notify;

/// The work that a task sleeps for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Messages that may be due (`task::outbox_sender`).
    Messages,
    /// Templates to be read from Meta (`task::template_sync`).
    TemplateCatalogue,
    /// Bodies that Meta posted (`task::webhook_reader`).
    WebhookBodies,
    /// Files that people sent (`task::received_media`).
    ReceivedFiles,
    /// What waits for people or devices until a time (`task::deadlines`).
    Deadlines,
    /// Commands to the broker (`task::command_publisher`).
    Commands,
    /// Commands to devices (`task::device_fleet`).
    DeviceCommands,
    /// What people, receipts and operators did to alerts (`task::mqtt_intake`).
    AlertCommands,
    /// Escalations over HTTP (`task::escalation_post`).
    EscalationPosts,
}

const KINDS: usize = Work::EscalationPosts as usize + 1;

/// The kind of row that was just written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    Message,
    /// It is held or has failed: it may have been the last that anybody would get.
    MessageStopped,
    /// An answer to a reply; what was asked back has a time.
    Answer,
    /// A status of Meta's: a failed message may be due again, and alerts wait for receipts.
    Status,
    AlertCommand,
    Command,
    /// A command has its end, and whoever asked may be told.
    CommandEnd,
    /// An answer of a device or a question of a machine.
    DeviceMessage,
    /// A time was over: an answer was decided or somebody is told.
    Expiry,
    EscalationPost,
    /// An event that a rule could not judge; the owner is told after a while.
    UnjudgedEvent,
    WebhookBody,
    /// Somebody sent a file.
    FileOffer,
    /// A template was approved, paused or rejected.
    TemplateNews,
    /// The catalogue of templates: what was held for want of one may leave.
    Templates,
    /// Numbers were connected or disconnected on the page.
    Connections,
    /// Anything, by another process: `bellwire alerts ack` and the like.
    ByAnotherProcess,
}

impl Written {
    const fn wakes(self) -> &'static [Work] {
        match self {
            Self::Message | Self::Templates => &[Work::Messages],
            Self::MessageStopped | Self::UnjudgedEvent => &[Work::Deadlines],
            Self::Answer | Self::CommandEnd | Self::DeviceMessage => &[Work::Messages, Work::Deadlines],
            Self::Status => &[Work::Messages, Work::Deadlines, Work::AlertCommands],
            Self::AlertCommand => &[Work::AlertCommands],
            Self::Command => &[Work::Commands, Work::DeviceCommands],
            Self::Expiry => &[Work::Messages, Work::Commands, Work::DeviceCommands],
            Self::EscalationPost => &[Work::EscalationPosts],
            Self::WebhookBody => &[Work::WebhookBodies],
            Self::FileOffer => &[Work::ReceivedFiles],
            Self::TemplateNews => &[Work::TemplateCatalogue],
            Self::Connections => &[Work::TemplateCatalogue, Work::Messages],
            Self::ByAnotherProcess => &[Work::AlertCommands, Work::Commands, Work::DeviceCommands],
        }
    }
}

/// One for each kind of work; a task that is told twice before it looks is woken once.
#[derive(Debug, Default)]
pub struct Wakeups([Notify; KINDS]);

impl Wakeups {
    /// Call it after the commit: whoever is woken looks at the disk.
    pub fn after(&self, written: Written) {
        written.wakes().iter().for_each(|work| self.of(*work).notify_one());
    }

    pub async fn wait(&self, work: Work) {
        self.of(work).notified().await;
    }

    #[expect(clippy::indexing_slicing, reason = "there is one for each kind")]
    fn of(&self, work: Work) -> &Notify {
        &self.0[work as usize]
    }
}
