//! All codes with their titles. A code is never used for anything else, also not when its check is gone. Its first
//! digit is the layer: 0 project, 1 edge, 2 events, 3 workflows, 4 api, 5 observe, 6 systems, 7 store.

macro_rules! codes {
    ($($name:ident = $code:literal, $title:literal;)+) => {
        $(pub(crate) const $name: &str = $code;)+

        /// Code and title of every problem.
        pub const CODES: &[(&str, &str)] = &[$(($code, $title)),+];

        /// The page of a code, as Markdown; `None` for a code that does not exist.
        pub fn page(code: &str) -> Option<&'static str> {
            match code {
                $($code => Some(include_str!(concat!("../../../docs/errors/", $code, ".md"))),)+
                _ => None,
            }
        }
    };
}

codes! {
    SYNTAX = "A0101", "a file that is not YAML";
    UNKNOWN_KEY = "A0102", "a key that nobody knows";
    WRONG_TYPE = "A0103", "a value of the wrong type";
    MISSING_KEY = "A0104", "a key that is missing";
    WRONG_FORM = "A0105", "a value of the wrong form";
    NOT_BUILT = "A0106", "something that is not built yet";
    DUPLICATE_KEY = "A0107", "a key that stands twice";
    YAML_FEATURE = "A0108", "a part of YAML that a project does not use";
    TOO_LARGE = "A0109", "a file that is too large or nested too deep";
    UNKNOWN_FILE = "A0110", "a file or folder that has no place in a project";
    UNREADABLE = "A0111", "a file that cannot be read";
    NO_PROJECT = "A0112", "a folder that is no project";
    FORMAT = "A0113", "a format that this Andon does not read";
    FILE_NAME = "A0114", "a file whose name does not fit what it holds";
    UNKNOWN_CLASS = "A0115", "a class that is not declared";
    UNKNOWN_SITE = "A0116", "a site that is not declared";
    UNKNOWN_TEAM = "A0117", "a team that is not declared";
    UNKNOWN_ASSET = "A0118", "an asset that is not declared";
    UNKNOWN_SIGNAL = "A0119", "a signal that is not declared";
    DUPLICATE_ASSET = "A0120", "an asset that is declared twice";
    UNKNOWN_PARAMETER = "A0121", "a parameter that the class does not have";
    PARAMETER = "A0122", "a parameter that is none, or has no value";
    TIME_ZONE = "A0123", "a time zone that does not exist";
    SIGNAL_RANGE = "A0124", "a range that ends before it begins";
    UNIT = "A0125", "a unit that is not UCUM";
    SECRET = "A0126", "a secret that stands in the project";
    ADDRESS = "A0127", "an address that cannot be used";
    NO_INSTANCE = "A0128", "a project without an instance";
    ZONE = "A0129", "an instance in a zone without a site";
    NO_OWNER = "A0130", "a project without owners";
    OWNERSHIP_ORDER = "A0131", "ownership that does not end with everything";
    TEAM_UNREACHABLE = "A0132", "a team that cannot be reached";
    UNKNOWN_DOMAIN = "A0133", "a domain that no capability has";
    STATES = "A0134", "names of states that do not name them";
    SCENARIO = "A0135", "a scenario that cannot be played";
    HOURS = "A0140", "hours that nobody can read";
    WITHIN = "A0141", "a time to answer that nobody can keep";
    ESCALATION = "A0142", "an exception that passes to nobody";
    OWNERSHIP_CONTENT = "A0143", "a content that no exception has";
    NOTIFY = "A0144", "notices that cannot be sent so";
    UNSIGNED = "A0145", "a webhook that nobody could believe";

    UNKNOWN_SOURCE = "A1101", "a source that is not declared";
    TOPIC = "A1102", "a topic that cannot be used";
    CAPTURE = "A1103", "places of a topic that do not work";
    TEMPLATE = "A1104", "a text with places that nobody knows";
    TOPIC_COVERED = "A1105", "a topic that never matches";
    POINTER = "A1106", "a pointer that is no JSON pointer";
    QOS = "A1107", "a quality of service that does not exist";
    SESSION = "A1108", "a session whose length is not ours to say";
    REDELIVERY = "A1109", "samples that a redelivery stores again";
    NO_TOPIC = "A1110", "a source that reads nothing";
    SAME_ADDRESS = "A1111", "two assets that a source cannot tell apart";
    KEEP_ALIVE = "A1112", "a keep-alive that cannot be sent";

    LISTENER_ADDRESS = "A1120", "an address that a listener cannot have";
    LISTENER_OPEN = "A1121", "a listener that anybody in the network may publish to";
    LISTENER_PASSWORD = "A1122", "a client's password that crosses the network in the clear";
    CLIENT = "A1123", "a client that cannot be told from others";
    CLIENT_FILTER = "A1124", "a right that is no topic filter";
    LISTENER_LIMIT = "A1125", "a limit that a listener cannot keep";
    UNKNOWN_LISTENER = "A1126", "a source of a listener that is not declared";
    IDLE_LISTENER = "A1127", "a listener whose messages nobody takes";

    TLS = "A1130", "keys of TLS that do not go together";
    OPEN_PASSWORD = "A1131", "a password that crosses the network in the clear";
    PUBLISH_TO = "A1132", "a subscriber without one place to publish to";
    PUBLISH_LISTENER = "A1133", "a listener that no instance has";

    SAME_KEY = "A1140", "callers that cannot be told apart";
    SIGNATURE = "A1141", "a signature that cannot be checked";
    POSTS = "A1142", "a number of posts that cannot be served";
    EVENT_MAPPING = "A1143", "a mapping that gives no event";

    SHDR_ASSET = "A1150", "data items of nobody";
    SHDR_ITEM = "A1151", "two data items in one signal";
    SHDR_FORM = "A1152", "a form that its signal cannot hold";
    SHDR_HEARTBEAT = "A1153", "a heartbeat that cannot be kept";

    FILE_PLACE = "A1160", "folders and names of files that do not work";
    FILE_FORMAT = "A1161", "a format of files that is not described";
    FILE_CHARACTER = "A1162", "a character that cannot do what it shall";
    FILE_ENCODING = "A1163", "an encoding that nobody knows";
    FILE_READY = "A1164", "files that are never whole";
    FILE_PACE = "A1165", "a pace at which no folder can be looked at";
    FILE_TIME = "A1166", "rows whose time is missing or cannot be read";
    FILE_COLUMN = "A1167", "a column that these files do not have";

    UNIT_MISMATCH = "A1170", "a unit that its signal cannot be given";
    REDUCTION = "A1171", "a reduction that makes no sense";
    SILENCE = "A1172", "a silence that makes no sense";
    RETENTION = "A1173", "what is kept makes no sense";
    BROKER_LOSES = "A1174", "settings of a broker that can lose messages";
    BROKER_SETTINGS = "A1175", "settings of a broker that cannot be read";
    UNDELIVERED = "A1176", "an asset that no source delivers";
    READ_TWICE = "A1177", "messages that two sources read";

    RULE_ON = "A2101", "a rule that stands on nothing";
    SIGNAL_KIND = "A2102", "limits of a signal that is no number";
    LIMIT_ORDER = "A2103", "limits that are not in order";
    DEADBAND = "A2104", "a deadband that swallows the limits";
    SET_TWICE = "A2105", "a key that is set in the rule and in the class";
    NO_LIMIT = "A2106", "a limit rule without limit";
    SEVERITY = "A2107", "a severity that is missing or none";
    DELAY = "A2108", "a delay that means nothing";
    IDLE_RULE = "A2109", "a rule that watches nothing";
    IDLE_PARAMETER = "A2110", "a parameter that no rule reads";
    UNKNOWN_EVENT = "A2111", "a type of event that does not exist";
    CONDITION = "A2112", "a condition that cannot be asked";
    STATE_RULE = "A2120", "states of which nobody knows what they mean";
    COUNTER_RULE = "A2121", "a counter that cannot count";

    WINDOW = "A2140", "a window that cannot be worked out";
    RATE_UNIT = "A2141", "a change that has no unit";
    SETPOINT = "A2142", "a setpoint that a value cannot be held against";
    RUN_RULE = "A2150", "a run rule that does not exist";
    CHART = "A2151", "a control chart whose lines make no sense";
    WAVEFORM = "A2152", "a waveform that cannot be read";
    FEATURE = "A2153", "a feature that a waveform does not have";
    ZONES = "A2154", "zones that cannot be used";
    ZONES_DOUBT = "A2155", "zones whose numbers are doubtful";
    TABLE = "A2160", "a decision table that decides nothing";
    MATCH = "A2170", "a match by which no two reports can be found to tell one fact";
    SHELVING = "A2180", "a policy of shelving that makes no sense";

    DSL_VERSION = "A3101", "a workflow in another version of the DSL";
    EXPRESSION = "A3102", "an expression that does not compile";
    NOT_AN_EXPRESSION = "A3103", "a text that is no expression";
    NO_SUCH_PATH = "A3104", "an expression that reads what is not there";
    TASK = "A3105", "a task that is none";
    DUPLICATE_TASK = "A3106", "a task that stands twice";
    UNKNOWN_TASK = "A3107", "a flow that leads to no task";
    UNREACHABLE = "A3108", "a task that is never reached";
    NOT_SUPPORTED = "A3109", "a part of the DSL that does not run";
    UNKNOWN_CAPABILITY = "A3110", "a capability that is not declared";
    NO_ROUTE = "A3111", "a call that nobody answers";
    INPUT = "A3112", "an input that does not fit its schema";
    CATCH_VARIABLE = "A3113", "a name that a variable cannot have";
    RETRY_POLICY = "A3114", "a repetition that makes no sense";
    NOT_IN_USE = "A3115", "a name that `use` does not declare";
    SCHEDULE = "A3116", "a schedule that is none";
    EVENTS = "A3117", "events that cannot be meant so";
    SUBFLOW = "A3118", "another workflow that is not there";
    ENDLESS = "A3119", "something that would never end";
    REPEATED_EFFECT = "A3120", "an effect that would happen twice";
    PLACEMENT = "A3121", "a workflow that cannot run at the edge";
    COMPENSATION = "A3122", "something that cannot be undone so";
    DECISION = "A3140", "a decision that nobody could take";
    HOST = "A3130", "a request to a host that nobody declares";
    HTTP_CALL = "A3131", "a request over HTTP that cannot be sent";
    EXCEPTIONS = "A3150", "a policy of exceptions that makes no sense";

    API_ADDRESS = "A4101", "an address that cannot be listened on";
    API_OPEN = "A4102", "an API that is open to the network";

    UNKNOWN_SYSTEM = "A6101", "a system that is not declared";
    UNKNOWN_OPERATION = "A6102", "an operation that is not declared";
    ROUTE_TARGET = "A6103", "a route that leads to the wrong operation";
    ROUTE_REASON = "A6104", "a route to nobody without a reason";
    ROUTE_DATE = "A6105", "a day that is none";
    ROUTE_COVERED = "A6106", "a route that is never taken";
    IDEMPOTENCY = "A6107", "an operation whose repeats are not described";
    KEY_NOT_SENT = "A6108", "a reference that is not sent";
    RETRY = "A6109", "a retry that makes no sense";
    CONCURRENT = "A6110", "a number of attempts that makes no sense";
    CREDENTIALS = "A6111", "credentials that are none, or several";
    REQUEST = "A6112", "a request that cannot be made";
    OUTPUT = "A6113", "an output that is not what the capability promises";
    NO_IDENTIFIER = "A6114", "a thing that a system has no name for";
    VALUE_MAP = "A6115", "a value map that is missing";
    UNKNOWN_SCHEMA = "A6116", "a schema that does not exist";
    SCHEMA = "A6117", "a schema that cannot be used";
    CAPABILITY = "A6118", "a capability that does not say what it is";
    READ_PACE = "A6119", "a read at a pace that makes no sense";
    READ_PAGES = "A6120", "a read whose answer has no end, or no whole";
    READ_MAPPING = "A6121", "a mapping that gives no such object";
    NAME_KIND = "A6122", "a kind of thing that a system has no names for";
    WEBHOOK = "A6123", "a read that nobody asks for and nobody posts to";
    EACH = "A6124", "a list that is made of no list";
    CONTENT = "A6125", "a content that cannot be sent";
    DEPRECATED = "A6130", "a call of what goes away";
    NEWER_MAJOR = "A6131", "a call that does not say which major it means";
    SHADOW = "A6132", "a shadow that would have an effect";
    FALLBACK = "A6133", "a fallback that is none";
    NAME_OVERLAP = "A6134", "a thing that has two names at once";
    NAME_TABLE = "A6135", "a table of names that cannot be read";
    VALUE_GAP = "A6136", "a value map that lacks a value";
    CONNECT = "A6140", "a place that a connection cannot go to";
    PROXY = "A6141", "a proxy that is not gone through";
    OAUTH2 = "A6142", "a grant that gives no token";
    BREAKER = "A6150", "a breaker that cannot do its work";
    WIDER = "A6151", "an operation that widens what its system allows";
    OUTAGE = "A6152", "a clock of outages that makes no sense";
}
