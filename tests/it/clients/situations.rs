//! What devices get into, and what comes of it: the same for each client.

use firmware_bridge::Kind;

/// What happens. A kill is SIGKILL; what is killed is started again at once, unless the step says otherwise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Step {
    /// The device starts, with what its storage holds.
    Start,
    /// Another device starts that was given the same name.
    Twin,
    KillDevice,
    KillGateway,
    GatewayDown,
    GatewayUp,
    KillBroker,
    BrokerDown,
    BrokerUp,
    /// Each device accepts so many events.
    Emit(u32),
    /// One with these fields, and what the device says to it.
    Fields(&'static str, &'static str),
    /// One with twelve fields with names of 24 bytes and texts of 64.
    Longest,
    /// Leaves the broker, or goes there again.
    Line(bool),
    /// Leaves it and goes there again, so often.
    Flaps(u32),
    /// Loses the next messages of a kind.
    Lose(Kind, u32),
    /// Topics of another name than the device's; `None`: its own again.
    Topic(Option<&'static str>),
    /// The device's name from its next start on.
    Rename(&'static str),
    /// Anybody says on the device's topic that all up to here is counted.
    Acknowledge(u32, u32),
    /// All that the page says is malformed, another version, and noise, on the device's topics.
    Malformed,
    /// The serial line is cut, or put back.
    Plugged(bool),
    /// One byte in so many changes on the serial line; 0: none.
    Disturbed(usize),
    /// The database is copied, put back, or taken away, each while the gateway is killed.
    CopyDatabase,
    PutDatabaseBack,
    LoseDatabase,
    /// Somebody taps the button under an event's message.
    Tap,
    /// Waits until the device has acted on a command.
    Obeyed,
    /// Waits until the command's end is this.
    Ended(&'static str),
    /// Waits until so many events are counted.
    Counted(u32),
    /// Waits until the devices are welcomed and have nothing left.
    Idle,
    /// Nothing happens for so many seconds.
    Seconds(u64),
}

use Step::{
    Acknowledge, BrokerDown, BrokerUp, CopyDatabase, Counted, Disturbed, Emit, Ended, Fields, Flaps,
    GatewayDown, GatewayUp, Idle, KillBroker, KillDevice, KillGateway, Line, Longest, Lose, LoseDatabase,
    Malformed, Obeyed, Plugged, PutDatabaseBack, Rename, Seconds, Start, Tap, Topic, Twin,
};

#[derive(Debug, Clone, Copy)]
pub struct Situation {
    pub name: &'static str,
    /// The device's name.
    pub device: &'static str,
    /// It is on a serial line of the gateway's, not on the broker.
    pub serial: bool,
    /// It has storage.
    pub keeps: bool,
    pub steps: &'static [Step],
    /// Boot number, first and last sequence of what is counted, in order.
    pub counted: &'static [(u32, u32, u32)],
    /// Of these it is not said when they happened.
    pub untimed: &'static [(u32, u32, u32)],
    /// Hellos of all starts, at most.
    pub hellos: u32,
    /// How long a command may be acted on.
    pub expires: &'static str,
    /// Commands that were acted on by the last start.
    pub obeyed: u32,
}

const PLAIN: Situation = Situation {
    name: "",
    device: "freezer-2",
    serial: false,
    keeps: true,
    steps: &[],
    counted: &[],
    untimed: &[],
    hellos: 30, // 0, its number, a reconnection each, and those that met a gateway that was not there yet; a storm has hundreds
    expires: "60s",
    obeyed: 0,
};

pub const SITUATIONS: &[Situation] = &[
    Situation {
        name: "first_hello",
        steps: &[Start, Idle, KillGateway, KillBroker, Emit(3), Idle],
        counted: &[(1, 1, 3)],
        ..PLAIN
    },
    Situation {
        name: "events_before_the_gateway_is_there",
        steps: &[GatewayDown, Start, Emit(10), Seconds(2), GatewayUp, Idle, KillBroker, Emit(2), Idle],
        counted: &[(1, 1, 12)],
        ..PLAIN
    },
    Situation {
        name: "burst",
        steps: &[Start, Idle, Emit(150), Idle, KillGateway, KillBroker, Emit(10), Idle],
        counted: &[(1, 1, 160)],
        ..PLAIN
    },
    Situation {
        name: "gateway_killed_in_a_burst",
        steps: &[Start, Idle, Emit(150), Counted(20), KillGateway, Idle, KillBroker, Emit(1), Idle],
        counted: &[(1, 1, 151)],
        ..PLAIN
    },
    Situation {
        name: "broker_killed_in_a_burst",
        steps: &[Start, Idle, Emit(150), Counted(20), KillBroker, Idle, KillGateway, Emit(1), Idle],
        counted: &[(1, 1, 151)],
        ..PLAIN
    },
    Situation {
        name: "both_killed_again_and_again",
        steps: &[
            Start,
            Emit(100),
            Counted(5),
            KillGateway,
            Counted(20),
            KillBroker,
            Emit(20),
            Counted(50),
            KillBroker,
            KillGateway,
            Emit(20),
            Idle,
        ],
        counted: &[(1, 1, 140)],
        ..PLAIN
    },
    Situation {
        name: "restarted_with_what_it_kept",
        steps: &[
            Start,
            Idle,
            Emit(40),
            Counted(5),
            KillDevice,
            BrokerDown,
            Start,
            Emit(10),
            KillDevice,
            Start,
            BrokerUp,
            Emit(5),
            Idle,
            KillGateway,
            Emit(1),
            Idle,
        ],
        counted: &[(1, 1, 40), (2, 1, 10), (3, 1, 6)],
        untimed: &[(2, 1, 10)],
        ..PLAIN
    },
    Situation {
        name: "restarted_without_storage",
        keeps: false,
        // The four are gone with its power, and its number is above the one of the start before.
        steps: &[
            Start,
            Emit(5),
            Idle,
            BrokerDown,
            Emit(4),
            KillDevice,
            Start,
            Emit(2),
            BrokerUp,
            Idle,
            KillGateway,
            Emit(2),
            Idle,
        ],
        counted: &[(1, 1, 5), (2, 1, 4)],
        ..PLAIN
    },
    Situation {
        name: "acknowledgements_come_again",
        steps: &[
            Start,
            Emit(10),
            Idle,
            Acknowledge(1, 3),
            Acknowledge(1, 10),
            Acknowledge(1, 10),
            Acknowledge(1, 900),
            Acknowledge(9, 1),
            Emit(5),
            Idle,
            Acknowledge(1, 2),
            KillGateway,
            KillBroker,
            Emit(5),
            Idle,
        ],
        counted: &[(1, 1, 20)],
        ..PLAIN
    },
    Situation {
        name: "acknowledgements_are_lost",
        steps: &[Start, Idle, Lose(Kind::Ack, 6), Emit(30), Idle, KillGateway, KillBroker, Emit(1), Idle],
        counted: &[(1, 1, 31)],
        ..PLAIN
    },
    Situation {
        name: "acknowledged_as_unknown",
        // Over MQTT it may be said to another one; hellos must not go out for each.
        steps: &[
            Start,
            Idle,
            Lose(Kind::Event, 3),
            Emit(3),
            Acknowledge(0, 0),
            Acknowledge(0, 0),
            Acknowledge(0, 0),
            Acknowledge(0, 0),
            Acknowledge(0, 0),
            Idle,
            KillGateway,
            KillBroker,
            Emit(1),
            Idle,
        ],
        counted: &[(1, 1, 4)],
        ..PLAIN
    },
    Situation {
        name: "welcomes_are_lost",
        steps: &[KillGateway, KillBroker, Start, Lose(Kind::Welcome, 3), Emit(5), Idle],
        counted: &[(1, 1, 5)],
        ..PLAIN
    },
    Situation {
        name: "command_is_obeyed",
        steps: &[Start, KillGateway, KillBroker, Emit(1), Idle, Tap, Ended("done"), Emit(1), Idle],
        counted: &[(1, 1, 2)],
        obeyed: 1,
        ..PLAIN
    },
    Situation {
        name: "command_comes_again",
        steps: &[
            Start,
            KillGateway,
            KillBroker,
            Emit(1),
            Idle,
            Lose(Kind::Result, 2),
            Tap,
            Ended("done"),
            Emit(1),
            Idle,
        ],
        counted: &[(1, 1, 2)],
        obeyed: 1,
        ..PLAIN
    },
    Situation {
        name: "command_through_a_kill",
        steps: &[
            Start,
            Emit(1),
            Idle,
            Lose(Kind::Result, 2),
            Tap,
            Obeyed,
            KillGateway,
            KillBroker,
            Ended("done"),
            Emit(1),
            Idle,
        ],
        counted: &[(1, 1, 2)],
        obeyed: 1,
        ..PLAIN
    },
    Situation {
        name: "command_too_late",
        steps: &[
            Start,
            KillGateway,
            KillBroker,
            Emit(1),
            Idle,
            Line(false),
            Tap,
            Seconds(5),
            Line(true),
            Ended("expired"),
            Emit(1),
            Idle,
        ],
        counted: &[(1, 1, 2)],
        expires: "4s",
        ..PLAIN
    },
    Situation {
        name: "command_to_the_start_before",
        steps: &[
            Start,
            Emit(1),
            Idle,
            Lose(Kind::Result, 9),
            Tap,
            Obeyed,
            KillDevice,
            KillGateway,
            KillBroker,
            Start,
            Ended("no-answer"),
            Emit(1),
            Idle,
        ],
        counted: &[(1, 1, 1), (2, 1, 1)],
        ..PLAIN
    },
    Situation {
        name: "queue_is_full",
        // How many have room is the client's; each that was accepted is counted, and the others are told of.
        steps: &[Start, Idle, Line(false), Emit(600), KillGateway, KillBroker, Line(true), Idle],
        ..PLAIN
    },
    Situation {
        name: "another_name_in_the_topic",
        steps: &[
            Topic(Some("somebody")),
            Start,
            Emit(3),
            Seconds(4),
            Counted(0),
            Topic(None),
            Idle,
            KillGateway,
            KillBroker,
            Emit(1),
            Idle,
        ],
        counted: &[(1, 1, 4)],
        ..PLAIN
    },
    Situation {
        name: "two_devices_with_one_name",
        steps: &[
            Start,
            Emit(5),
            Idle,
            Twin,
            Emit(20),
            Seconds(18),
            Emit(20),
            KillGateway,
            KillBroker,
            Emit(5),
            Idle,
        ],
        hellos: 40, // of both, in about a minute
        ..PLAIN
    },
    Situation {
        name: "given_another_name",
        // Eight are counted and it does not know: what it kept goes under the name before, where none counts twice.
        steps: &[
            Start,
            Idle,
            Lose(Kind::Ack, 99),
            Emit(20),
            Counted(8),
            KillDevice,
            Rename("freezer-9"),
            Start,
            Emit(5),
            Idle,
            KillGateway,
            KillBroker,
            Emit(1),
            Idle,
        ],
        counted: &[(1, 1, 20), (2, 1, 6)],
        ..PLAIN
    },
    Situation {
        name: "older_database_put_back",
        // What the older one lacks is missing there and noted; nothing else is.
        steps: &[
            Start,
            Emit(10),
            Idle,
            CopyDatabase,
            Emit(10),
            Idle,
            PutDatabaseBack,
            KillBroker, // the hello of the reconnection settles it; without one, the next heartbeat's does
            Emit(5),
            Idle,
            KillGateway,
            KillBroker,
            Emit(1),
            Idle,
        ],
        counted: &[(1, 1, 10), (1, 21, 26)],
        ..PLAIN
    },
    Situation {
        name: "database_lost",
        steps: &[Start, Emit(10), Idle, LoseDatabase, Emit(5), Idle, KillGateway, KillBroker, Emit(1), Idle],
        counted: &[(1, 11, 16)],
        ..PLAIN
    },
    Situation {
        name: "clock_not_known",
        // The start that made the first two never heard the time; the next one hears it before it sends the others.
        steps: &[
            BrokerDown,
            Start,
            Emit(2),
            KillDevice,
            Start,
            Emit(2),
            BrokerUp,
            Idle,
            KillGateway,
            Emit(1),
            Idle,
        ],
        counted: &[(1, 1, 2), (2, 1, 3)],
        untimed: &[(1, 1, 2)],
        ..PLAIN
    },
    Situation {
        name: "malformed_answers",
        steps: &[
            Start,
            Emit(5),
            Idle,
            Malformed,
            Emit(5),
            Malformed,
            Idle,
            KillGateway,
            KillBroker,
            Emit(5),
            Idle,
        ],
        counted: &[(1, 1, 15)],
        ..PLAIN
    },
    Situation {
        name: "longest_fields",
        device: "a-name-of-32-characters-in-ASCII",
        steps: &[Start, Idle, Longest, Idle, KillGateway, KillBroker, Longest, Emit(1), Idle],
        counted: &[(1, 1, 3)],
        untimed: &[(1, 1, 2)], // twelve fields leave no room for it
        ..PLAIN
    },
    Situation {
        name: "impossible_events",
        steps: &[
            Start,
            Idle,
            Fields(TOO_MANY, "refused"),
            Fields("x:i:1", "refused"),                 // no name
            Fields("x646576696365:i:1", "refused"),     // device
            Fields("x626f6f74:i:1", "refused"),         // boot
            Fields("x73657175656e6365:i:1", "refused"), // sequence
            Fields("x61:i:1 x61:i:2", "refused"),       // one name twice
            Fields("x61:f:nan", "refused"),
            Fields("x61:f:inf", "refused"),
            Fields("x61:f:-inf", "refused"),
            Fields("x61745f6d73:i:-1", "refused"), // at_ms before 1970
            Fields("x61745f6d73:i:99999999999999", "refused"), // and in the year 5138
            Fields("x61616161616161616161616161616161616161616161616161:i:1", "refused"), // a name of 25 bytes
            Fields(TEXT_OF_65, "refused"),
            Fields("x61:t:xc328", "refused"), // no UTF-8
            Emit(2),
            KillGateway,
            KillBroker,
            Emit(1),
            Idle,
        ],
        counted: &[(1, 1, 3)],
        ..PLAIN
    },
    Situation {
        name: "kinds_of_numbers",
        steps: &[
            Start,
            Idle,
            Fields("x61:i:-1 x62:i:9223372036854775807 x63:i:-9223372036854775808 x64:i:0", "ok"),
            Fields("x61:f:-12.5 x62:f:3.4028235e38 x63:f:1e-45 x64:f:0", "ok"),
            Fields("x61:b:0 x62:b:1 x63:t:x x64:t:xf09fa58ae282ac", "ok"), // no text, and two letters of four and three bytes
            KillGateway,
            KillBroker,
            Fields("x61:i:63 x62:i:64 x63:i:-64 x64:i:-65", "ok"),
            Idle,
        ],
        counted: &[(1, 1, 4)],
        ..PLAIN
    },
    Situation {
        name: "connection_that_flaps",
        // Three hellos at once in a minute, and five seconds between the others: not one for each of thirty.
        steps: &[Start, Idle, Flaps(30), KillGateway, KillBroker, Flaps(3), Emit(5), Idle],
        counted: &[(1, 1, 5)],
        hellos: 16,
        ..PLAIN
    },
    Situation {
        name: "serial_line_cut_and_disturbed",
        serial: true,
        steps: &[
            Start,
            Idle,
            Disturbed(700),
            Emit(100),
            Counted(20),
            KillGateway,
            Counted(50),
            Plugged(false),
            KillBroker,
            Plugged(true),
            Disturbed(0),
            Emit(10),
            Idle,
        ],
        counted: &[(1, 1, 110)],
        ..PLAIN
    },
    Situation {
        name: "serial_line_with_a_command",
        serial: true,
        steps: &[Start, Emit(1), Idle, KillGateway, KillBroker, Tap, Ended("done"), Emit(1), Idle],
        counted: &[(1, 1, 2)],
        obeyed: 1,
        ..PLAIN
    },
];

/// Thirteen.
const TOO_MANY: &str =
    "x61:i:1 x62:i:1 x63:i:1 x64:i:1 x65:i:1 x66:i:1 x67:i:1 x68:i:1 x69:i:1 x6a:i:1 x6b:i:1 x6c:i:1 x6d:i:1";
const TEXT_OF_65: &str = "x61:t:x7878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878";
