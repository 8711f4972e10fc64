/*
 * The two message tables. Every row: name, shortest and longest body, phases, flags, action.
 *
 * Shortest bodies follow from the formats: a string takes at least its NUL. Longest bodies of a
 * client's messages are what PostgreSQL accepts. A server is bounded where the format bounds it and
 * else by the largest message PostgreSQL can build, because clients differ in what they accept and
 * a relay that streams bodies has nothing to lose.
 */
#include "pgwire/rule.h"

enum {
    AUTH = PGW_IN_AUTH,
    SETUP = PGW_IN_SETUP,
    SIMPLE = PGW_IN_SIMPLE,
    FUNCTION = PGW_IN_FUNCTION,
    EXTENDED = PGW_IN_EXTENDED,
    COPY_IN = PGW_IN_COPY_IN,
    COPY_OUT = PGW_IN_COPY_OUT,
    COPY_BOTH = PGW_IN_COPY_BOTH,

    /* Clients may send ahead of the answers, so these are one phase for most of their messages. */
    COMMANDS = PGW_IN_IDLE | SIMPLE | FUNCTION | EXTENDED | COPY_OUT,
    COPIES = COPY_IN | COPY_OUT | COPY_BOTH,
    LOGGED_IN = COMMANDS | COPIES,
    ANSWERS = SIMPLE | EXTENDED,
    ANY = AUTH | SETUP | LOGGED_IN,
};

enum {
    LARGE = PGW_LARGE_MAX - PGW_LENGTH_LEN,
    SMALL = PGW_SMALL_MAX - PGW_LENGTH_LEN,
    TOKEN = PGW_AUTH_MAX - PGW_LENGTH_LEN,
    BUILT = 0x3fffffff, /* the largest allocation of a PostgreSQL server */
    COLUMNS = UINT16_MAX,
    NUL = 1,
    I16 = sizeof(uint16_t),
    I32 = sizeof(uint32_t),
    FORMATS = 1 + I16, /* overall format, number of columns */
    OPTIONS = 2 * I32, /* newest minor version, number of options */
    PID = I32,

    BATCH = PGW_ANSWERED | PGW_BATCHED,
};

/* clang-format off */
const struct pgw_rule pgw_frontend_rules[PGW_N_TYPES] = {
    [PGW_F_QUERY] = {"Query", NUL, LARGE, COMMANDS, PGW_ANSWERED, PGW_RELAY},
    [PGW_F_FUNCTION_CALL] =
        {"FunctionCall", I32 + 3 * I16, LARGE, COMMANDS, PGW_ANSWERED, PGW_RELAY},

    [PGW_F_PARSE] = {"Parse", 2 * NUL + I16, LARGE, COMMANDS, BATCH, PGW_RENAME},
    [PGW_F_BIND] = {"Bind", 2 * NUL + 3 * I16, LARGE, COMMANDS, BATCH, PGW_RENAME},
    [PGW_F_DESCRIBE] = {"Describe", 1 + NUL, SMALL, COMMANDS, BATCH, PGW_RENAME},
    [PGW_F_CLOSE] = {"Close", 1 + NUL, SMALL, COMMANDS, BATCH, PGW_RENAME},
    [PGW_F_EXECUTE] = {"Execute", NUL + I32, SMALL, COMMANDS, BATCH, PGW_RELAY},
    /* In a COPY these were sent before the client saw it begin: PostgreSQL drops them. */
    [PGW_F_FLUSH] = {"Flush", 0, SMALL, COMMANDS | COPY_IN, PGW_BATCHED, PGW_RELAY},
    [PGW_F_SYNC] =
        {"Sync", 0, SMALL, COMMANDS | COPY_IN, PGW_ANSWERED | PGW_ENDS_BATCH, PGW_RELAY},

    /* Outside a COPY these are late, sent before the client saw it fail: PostgreSQL drops them. */
    [PGW_F_COPY_DATA] = {"CopyData", 0, LARGE, LOGGED_IN, PGW_COPIES, PGW_RELAY},
    [PGW_F_COPY_DONE] = {"CopyDone", 0, SMALL, LOGGED_IN, PGW_COPIES, PGW_RELAY},
    [PGW_F_COPY_FAIL] = {"CopyFail", NUL, SMALL, LOGGED_IN, PGW_COPIES, PGW_RELAY},

    [PGW_F_PASSWORD] = {"PasswordMessage", 0, TOKEN, AUTH, PGW_ANSWERED, PGW_INTERCEPT},
    [PGW_F_TERMINATE] = {"Terminate", 0, SMALL, ANY, PGW_TERMINATES, PGW_INTERCEPT},
};

const struct pgw_rule pgw_backend_rules[PGW_N_TYPES] = {
    [PGW_B_AUTHENTICATION] = {"Authentication", I32, I32 + PGW_AUTH_MAX, AUTH, 0, PGW_INTERCEPT},
    [PGW_B_NEGOTIATE_PROTOCOL_VERSION] =
        {"NegotiateProtocolVersion", OPTIONS, OPTIONS + PGW_STARTUP_BODY_MAX, AUTH, 0,
         PGW_INTERCEPT},
    [PGW_B_BACKEND_KEY_DATA] =
        {"BackendKeyData", PID + PGW_CANCEL_KEY_MIN, PID + PGW_CANCEL_KEY_MAX, SETUP, 0,
         PGW_INTERCEPT},
    [PGW_B_READY_FOR_QUERY] =
        {"ReadyForQuery", 1, 1, SETUP | SIMPLE | FUNCTION | EXTENDED, 0, PGW_LOOK},

    [PGW_B_PARSE_COMPLETE] = {"ParseComplete", 0, 0, EXTENDED, 0, PGW_RELAY},
    [PGW_B_BIND_COMPLETE] = {"BindComplete", 0, 0, EXTENDED, 0, PGW_RELAY},
    [PGW_B_CLOSE_COMPLETE] = {"CloseComplete", 0, 0, EXTENDED, 0, PGW_RELAY},
    [PGW_B_NO_DATA] = {"NoData", 0, 0, EXTENDED, 0, PGW_RELAY},
    [PGW_B_PORTAL_SUSPENDED] = {"PortalSuspended", 0, 0, EXTENDED, 0, PGW_RELAY},
    [PGW_B_PARAMETER_DESCRIPTION] =
        {"ParameterDescription", I16, I16 + I32 * COLUMNS, EXTENDED, 0, PGW_RELAY},

    [PGW_B_ROW_DESCRIPTION] = {"RowDescription", I16, BUILT, ANSWERS, 0, PGW_RELAY},
    [PGW_B_DATA_ROW] = {"DataRow", I16, BUILT, ANSWERS, 0, PGW_RELAY},
    [PGW_B_COMMAND_COMPLETE] = {"CommandComplete", NUL, SMALL, ANSWERS, 0, PGW_LOOK},
    [PGW_B_EMPTY_QUERY_RESPONSE] = {"EmptyQueryResponse", 0, 0, ANSWERS, 0, PGW_RELAY},
    [PGW_B_FUNCTION_CALL_RESPONSE] = {"FunctionCallResponse", I32, BUILT, FUNCTION, 0, PGW_RELAY},

    [PGW_B_COPY_IN_RESPONSE] =
        {"CopyInResponse", FORMATS, FORMATS + I16 * COLUMNS, ANSWERS, PGW_COPIES, PGW_RELAY},
    [PGW_B_COPY_OUT_RESPONSE] =
        {"CopyOutResponse", FORMATS, FORMATS + I16 * COLUMNS, ANSWERS, PGW_COPIES, PGW_RELAY},
    [PGW_B_COPY_BOTH_RESPONSE] =
        {"CopyBothResponse", FORMATS, FORMATS + I16 * COLUMNS, ANSWERS, PGW_COPIES, PGW_RELAY},
    [PGW_B_COPY_DATA] = {"CopyData", 0, BUILT, COPY_OUT | COPY_BOTH, PGW_COPIES, PGW_RELAY},
    [PGW_B_COPY_DONE] = {"CopyDone", 0, 0, COPY_OUT | COPY_BOTH, PGW_COPIES, PGW_RELAY},

    [PGW_B_ERROR_RESPONSE] = {"ErrorResponse", NUL, BUILT, ANY, PGW_ASYNC, PGW_LOOK},
    [PGW_B_NOTICE_RESPONSE] = {"NoticeResponse", NUL, BUILT, ANY, PGW_ASYNC, PGW_RELAY},
    [PGW_B_PARAMETER_STATUS] =
        {"ParameterStatus", 2 * NUL, BUILT, SETUP | LOGGED_IN, PGW_ASYNC, PGW_INTERCEPT},
    [PGW_B_NOTIFICATION_RESPONSE] =
        {"NotificationResponse", I32 + 2 * NUL, BUILT, LOGGED_IN, PGW_ASYNC, PGW_RELAY},
};
/* clang-format on */
