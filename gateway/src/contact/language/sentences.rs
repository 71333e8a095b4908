//! The keys of the catalogue. Blanks stand in braces; `text` and `title` are words of the configuration.

macro_rules! sentences {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// One language.
        #[derive(Debug)]
        pub struct Sentences {
            $($(#[$doc])* pub $name: &'static str,)*
        }

        impl Sentences {
            /// Each with its key.
            #[must_use]
            pub fn all(&self) -> Vec<(&'static str, &'static str)> {
                vec![$((stringify!($name), self.$name),)*]
            }
        }
    };
}

sentences! {
    /// Twelve, with a space between them.
    months,
    moment,
    seconds,
    minutes,
    hours,
    days,
    decimal_mark,
    one_alert,
    many_alerts,

    // What happens to an alert.
    happened,
    nothing_heard,
    last_over,
    times_by_now,
    times_in_a_day,
    still,
    escalated,
    nobody_yet,
    /// Of a person who was told: what the next one should know.
    nobody_got_it,
    nobody_got_them,
    not_reached,
    not_delivered,
    not_read,
    was_read,
    over,
    over_by_silence,
    ended_by,
    /// Inside the sentence of an end.
    worst,
    you_take_care,
    somebody_takes_care,
    flapping,
    calm_firing,
    calm_over,
    /// Its rule is gone, or calls it otherwise.
    not_watched,

    // Several of them.
    some_firing,
    some_over,
    some_of_both,
    in_quiet_hours,
    over_meanwhile,
    and_more,
    and_more_of,

    // Of the gateway itself; no quotation marks, since they become a rule's message.
    own_broker,
    own_subscriptions,
    own_deliveries,
    own_client_id,
    own_disk,
    own_clock,
    own_connection,

    // Buttons, of up to 20 characters.
    take_care,
    end_it,
    snooze,
    snooze_hours,
    snooze_minutes,
    yes,
    no,
    read_on,
    more,
    act,

    // Answers.
    not_done,
    needs_role,
    or,
    not_in_area,
    not_your_button,
    for_somebody_else,
    did_you_mean,
    too_old,
    came_late,
    was_forwarded,
    alert_is_over,
    hurried,
    locked_out,
    stranger,
    stopped,
    started,
    on_duty,

    // Help and status.
    help_alerts,
    help_write,
    help_more,
    help_invite,
    help_always,
    nothing_fires,
    now_firing,
    told_lately,
    none_lately,
    offline_since,
    since,

    // What waits for a Yes.
    confirm,
    agree,
    nobody_may_agree,
    nobody_agreed,
    agrees,
    disagrees,
    nothing_waits,
    decided_already,
    others_must_agree,

    // What became of a command.
    device_refused,
    no_answer,
    was_not_done,
    broker_away,
    not_configured,

    // Machines that ask.
    unless_answered,
    not_asked,
    decided_as,
    time_is_over,

    // What the owner should know of a person.
    two_people,
    new_number,
    new_user_id,
    other_user,
    shared_number,

    // Invitations.
    owner_only,
    on_the_list,
    not_invited,
    too_many_invitations,
    asked_the_guest,
    team_decides,
    no_such_role,
    invitation,
    invitation_void,
    welcome,
    nobody_writes,
    guest_joined,
    guest_declined,
    in_the_file,
    nobody_of_number,
    off_the_list,
    number_unclear,
    name_missing,
    gives_too_much,
}
