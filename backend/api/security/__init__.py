"""Access: who asks, what they may do, and who did what.

`Guard` stands around the whole application and finds out who asks; `authorize` decides for each route;
`AuditMiddleware` writes changes down. Everything that nobody allowed is refused.
"""
