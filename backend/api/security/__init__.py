"""Authentication, authorisation and audit.

`Guard` wraps the whole application and authenticates every request; `authorize` checks the scope of each route;
`AuditMiddleware` records changes. What is not explicitly allowed is refused.
"""
