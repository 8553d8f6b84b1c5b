//! What a broker's reason codes mean, and what to do about them.

/// The cause of a code in words, and its remedy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explained {
    /// What the broker says.
    pub cause: &'static str,
    /// What to do about it.
    pub remedy: &'static str,
}

/// What a return code of a CONNACK of 3.1.1 means.
pub fn connect_v3(code: u8) -> Explained {
    code_of(of_v3(code))
}

/// The reason code of MQTT 5 that means what a return code of a CONNACK of 3.1.1 means.
pub fn of_v3(code: u8) -> u8 {
    match code {
        1 => 0x84,
        2 => 0x85,
        3 => 0x88,
        4 => 0x86,
        5 => 0x87,
        _ => 0x80,
    }
}

/// What a reason code of MQTT 5 means, wherever it stands; the codes of 3.1.1 are mapped to these.
pub fn code_of(code: u8) -> Explained {
    let (cause, remedy) = match code {
        0x00 => ("normal disconnection", "nothing; the connection is made again"),
        0x81 => ("the broker found our packet malformed", "report it with the broker's name and version"),
        0x82 => ("the broker saw a protocol error", "report it with the broker's name and version"),
        0x84 => ("the broker does not speak this version of MQTT", "set `version` of the broker to 3.1.1 or 5"),
        0x85 => ("the broker does not accept our client id", "allow ids that begin with `andon-` at the broker"),
        0x86 => ("user or password is wrong", "check `user` and the secret that `password` names"),
        0x87 => ("not authorized", "let the broker's access rules allow this user, client id and topic"),
        0x88 => ("the broker is unavailable", "wait; the connection is tried again"),
        0x89 => ("the broker is busy", "wait; the connection is tried again"),
        0x8A => ("the broker has banned this client", "lift the ban at the broker"),
        0x8B => ("the broker is shutting down", "wait; the connection is tried again"),
        0x8C => ("the broker wants another way of authentication", "use user and password"),
        0x8D => ("the broker heard nothing from us in time", "look for a slow network; raise `keep_alive`"),
        0x8E => (
            "another client connected with our id",
            "run an instance once: two of them share this data folder's id, or somebody copied it",
        ),
        0x8F => ("the broker does not accept the topic filter", "check `topic` against the broker's rules"),
        0x90 => ("the broker does not accept the topic", "check `topic` against the broker's rules"),
        0x91 => ("the packet id is in use", "report it with the broker's name and version"),
        0x93 => ("more messages at once than the broker allows", "report it with the broker's name and version"),
        0x94 => ("a topic alias is invalid", "report it with the broker's name and version"),
        0x95 => ("a packet is too large for the broker", "raise the broker's limit, or send less at once"),
        0x96 => ("we publish too fast for the broker", "raise the broker's limit"),
        0x97 => ("a quota of the broker is used up", "raise the quota at the broker"),
        0x98 => ("the broker's administrator ended the connection", "ask who administers the broker"),
        0x99 => ("the broker does not accept the payload's format", "check the payload against the broker's rules"),
        0x9A => ("the broker keeps no retained messages", "do not ask for them"),
        0x9B => ("the broker does not offer this quality of service", "lower `qos`"),
        0x9C | 0x9D => ("the broker wants us to use another server", "set `broker` to the other server"),
        0x9E => ("the broker offers no shared subscriptions", "name a plain topic"),
        0x9F => ("the broker limits how often we may connect", "wait; the connection is tried again"),
        0xA0 => ("the broker's longest time of a connection is over", "nothing; the connection is made again"),
        0xA1 => ("the broker offers no subscription identifiers", "report it with the broker's name and version"),
        0xA2 => ("the broker offers no wildcard subscriptions", "name topics without captures"),
        0x83 => ("the broker refuses for a reason of its own", "look into the broker's log"),
        _ => ("the broker gives no particular reason", "look into the broker's log"),
    };
    Explained { cause, remedy }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_say_the_same_in_the_same_words() {
        assert_eq!((of_v3(4), of_v3(5)), (0x86, 0x87));
        assert_eq!(connect_v3(5), code_of(0x87));
        assert_eq!(connect_v3(4).cause, "user or password is wrong");
        assert!(code_of(0x8E).remedy.contains("two of them"));
        assert_eq!(connect_v3(77), code_of(0x80));
    }
}
