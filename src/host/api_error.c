/* Errors of the public library: names and texts from the one list. */
#include "p2ps.h"

const char *p2ps_strerror(int code)
{
	switch (code) {
	case 0:
		return "ok";
#define TEXT(name, number, exit, text) \
	case number:                   \
		return text;
		P2PS_ERROR_MAP(TEXT)
#undef TEXT
	default:
		return "unknown error";
	}
}

const char *p2ps_error_name(int code)
{
	switch (code) {
	case 0:
		return "OK";
#define NAME(name, number, exit, text) \
	case number:                   \
		return #name;
		P2PS_ERROR_MAP(NAME)
#undef NAME
	default:
		return "?";
	}
}

const char *p2ps_version(void) { return P2PS_VERSION; }
