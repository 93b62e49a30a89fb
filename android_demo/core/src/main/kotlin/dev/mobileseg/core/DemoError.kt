package dev.mobileseg.core

/** What can go wrong here. The message is for people: one or two sentences, the cause, then what to do. */
class DemoError(
    message: String,
    cause: Throwable? = null,
) : Exception(message, cause)

/** The text to show for anything thrown. */
fun describe(error: Throwable): String {
    if (error is DemoError) return error.message.orEmpty()
    val text = error.message
        ?.lineSequence()
        ?.firstOrNull()
        ?.takeIf(String::isNotBlank) ?: error.javaClass.simpleName
    return "Unexpected: $text. Start the app again; if it happens again, report it with this text."
}

/** The first line of what a runtime said, as part of a sentence. */
internal fun reasonOf(error: Throwable): String =
    error.message
        ?.lineSequence()
        ?.firstOrNull(String::isNotBlank)
        ?.trim()
        ?.trimEnd('.')
        ?: error.javaClass.simpleName
