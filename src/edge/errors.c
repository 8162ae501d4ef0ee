/* The library's list of errors as names, texts and exit codes for commands and HTTP. */
#include "edge/http.h"
#include "p2ps.h"

struct error_row {
	int code, exit;
	const char *name, *text;
};

static const struct error_row error_rows[] = {
#define ERROR_ROW(name, code, exit, text) {code, exit, #name, text},
	P2PS_ERROR_MAP(ERROR_ROW)
#undef ERROR_ROW
};

static const struct error_row *error_find(int err)
{
	static const struct error_row none = {0, 0, "OK", "done"};
	static const struct error_row unknown = {0, 1, "UNKNOWN", "unknown error"};
	for (unsigned i = 0; i < sizeof error_rows / sizeof *error_rows; i++)
		if (error_rows[i].code == err)
			return &error_rows[i];
	return err == 0 ? &none : &unknown;
}

const char *error_name(int err) { return error_find(err)->name; }
const char *error_text(int err) { return error_find(err)->text; }
int error_exit(int err) { return error_find(err)->exit; }

json_t *version_json(const char *version)
{
	return json_pack("{s:s,s:{s:i,s:i}}", "version", version, "wire", "low", HTTP_WIRE_LOW, "high", HTTP_WIRE_HIGH);
}

json_t *http_error_json(int err, const char *text)
{
	return json_pack("{s:{s:s,s:i,s:i,s:s}}", "error", "name", error_name(err), "code", err, "exit", error_exit(err),
			 "text", text && *text ? text : error_text(err));
}
