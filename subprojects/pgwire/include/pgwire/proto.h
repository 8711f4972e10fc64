/*
 * The letters, sizes, limits and codes of the PostgreSQL frontend/backend protocol 3.x on one page.
 *
 * Sources: "Frontend/Backend Protocol" in the PostgreSQL 15 and 18 documentation
 * (55.2, 55.7, 55.8); limits that the documentation leaves open are those PostgreSQL 15 was seen to
 * enforce.
 */
#ifndef PGWIRE_PROTO_H
#define PGWIRE_PROTO_H

#include <stdint.h>

/* A message: one type byte, a big-endian length that counts itself but not the type, the body. */
enum {
    PGW_TYPE_LEN = 1,
    PGW_LENGTH_LEN = 4,
    PGW_HEADER_LEN = PGW_TYPE_LEN + PGW_LENGTH_LEN,
};

/* Limits. The first three are on the length word of a message, so they include its four bytes. */
enum {
    PGW_LARGE_MAX = 0x3ffffffe, /* Query, Parse, Bind, FunctionCall, CopyData: 1 GB - 2 */
    PGW_SMALL_MAX = 10000,      /* every other message a client sends after login */
    PGW_AUTH_MAX = 65535,       /* what a client answers to an authentication request */
    PGW_STARTUP_BODY_MIN = 4,   /* the version, or the code of a request */
    PGW_STARTUP_BODY_MAX = 10000,
    PGW_CANCEL_KEY_MIN = 4, /* the only length in protocol 3.0 */
    PGW_CANCEL_KEY_MAX = 256,
    PGW_NAME_MAX = 63, /* PostgreSQL compares names by their first 63 bytes */
    PGW_SQLSTATE_LEN = 5,
};

/* The first packet has no type byte: a length, then one of these. */
#define PGW_VERSION(major, minor) ((uint32_t)(major) << 16 | (uint32_t)(minor))
#define PGW_VERSION_MAJOR(version) ((uint32_t)(version) >> 16)
#define PGW_VERSION_MINOR(version) ((uint32_t)(version)&0xffff)
#define PGW_VERSION_3_0 PGW_VERSION(3, 0)
#define PGW_VERSION_3_2 PGW_VERSION(3, 2) /* PostgreSQL 18: longer cancel keys; 3.1 is unused */
#define PGW_CODE_CANCEL PGW_VERSION(1234, 5678)
#define PGW_CODE_SSL PGW_VERSION(1234, 5679)
#define PGW_CODE_GSSENC PGW_VERSION(1234, 5680)

/* Startup parameters with this prefix ask for protocol extensions. */
#define PGW_PROTOCOL_OPTION_PREFIX "_pq_."

/* What a client sends. */
enum {
    PGW_F_BIND = 'B',
    PGW_F_CLOSE = 'C',
    PGW_F_COPY_DATA = 'd',
    PGW_F_COPY_DONE = 'c',
    PGW_F_COPY_FAIL = 'f',
    PGW_F_DESCRIBE = 'D',
    PGW_F_EXECUTE = 'E',
    PGW_F_FLUSH = 'H',
    PGW_F_FUNCTION_CALL = 'F',
    PGW_F_PARSE = 'P',
    PGW_F_PASSWORD = 'p', /* also SASLInitialResponse, SASLResponse and GSSResponse */
    PGW_F_QUERY = 'Q',
    PGW_F_SYNC = 'S',
    PGW_F_TERMINATE = 'X',
};

/* What a server sends. */
enum {
    PGW_B_AUTHENTICATION = 'R',
    PGW_B_BACKEND_KEY_DATA = 'K',
    PGW_B_BIND_COMPLETE = '2',
    PGW_B_CLOSE_COMPLETE = '3',
    PGW_B_COMMAND_COMPLETE = 'C',
    PGW_B_COPY_BOTH_RESPONSE = 'W',
    PGW_B_COPY_DATA = 'd',
    PGW_B_COPY_DONE = 'c',
    PGW_B_COPY_IN_RESPONSE = 'G',
    PGW_B_COPY_OUT_RESPONSE = 'H',
    PGW_B_DATA_ROW = 'D',
    PGW_B_EMPTY_QUERY_RESPONSE = 'I',
    PGW_B_ERROR_RESPONSE = 'E',
    PGW_B_FUNCTION_CALL_RESPONSE = 'V',
    PGW_B_NEGOTIATE_PROTOCOL_VERSION = 'v',
    PGW_B_NO_DATA = 'n',
    PGW_B_NOTICE_RESPONSE = 'N',
    PGW_B_NOTIFICATION_RESPONSE = 'A',
    PGW_B_PARAMETER_DESCRIPTION = 't',
    PGW_B_PARAMETER_STATUS = 'S',
    PGW_B_PARSE_COMPLETE = '1',
    PGW_B_PORTAL_SUSPENDED = 's',
    PGW_B_READY_FOR_QUERY = 'Z',
    PGW_B_ROW_DESCRIPTION = 'T',
};

/* Describe and Close name one of these. */
enum {
    PGW_TARGET_PORTAL = 'P',
    PGW_TARGET_STATEMENT = 'S',
};

/* The code in the first four bytes of an Authentication message. */
enum {
    PGW_AUTH_OK = 0,
    PGW_AUTH_KERBEROS_V5 = 2,
    PGW_AUTH_CLEARTEXT_PASSWORD = 3,
    PGW_AUTH_MD5_PASSWORD = 5,
    PGW_AUTH_SCM_CREDENTIAL = 6, /* up to PostgreSQL 9.0 */
    PGW_AUTH_GSS = 7,
    PGW_AUTH_GSS_CONTINUE = 8,
    PGW_AUTH_SSPI = 9,
    PGW_AUTH_SASL = 10,
    PGW_AUTH_SASL_CONTINUE = 11,
    PGW_AUTH_SASL_FINAL = 12,
};

/* Fields of ErrorResponse and NoticeResponse. */
enum {
    PGW_FIELD_SEVERITY_LOCALIZED = 'S',
    PGW_FIELD_SEVERITY = 'V', /* never translated; since 9.6 */
    PGW_FIELD_SQLSTATE = 'C',
    PGW_FIELD_MESSAGE = 'M',
    PGW_FIELD_DETAIL = 'D',
    PGW_FIELD_HINT = 'H',
    PGW_FIELD_POSITION = 'P',
    PGW_FIELD_INTERNAL_POSITION = 'p',
    PGW_FIELD_INTERNAL_QUERY = 'q',
    PGW_FIELD_WHERE = 'W',
    PGW_FIELD_SCHEMA = 's',
    PGW_FIELD_TABLE = 't',
    PGW_FIELD_COLUMN = 'c',
    PGW_FIELD_DATA_TYPE = 'd',
    PGW_FIELD_CONSTRAINT = 'n',
    PGW_FIELD_FILE = 'F',
    PGW_FIELD_LINE = 'L',
    PGW_FIELD_ROUTINE = 'R',
};

#endif
