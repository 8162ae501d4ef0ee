/* The template service: presence and echo. See template.c. */
#ifndef P2PS_SERVICES_TEMPLATE_TEMPLATE_H
#define P2PS_SERVICES_TEMPLATE_TEMPLATE_H
#include "core/service.h"

#define TEMPLATE_NUMBER 1u

extern const struct service template_service;
extern const struct op template_ops[];
#endif
