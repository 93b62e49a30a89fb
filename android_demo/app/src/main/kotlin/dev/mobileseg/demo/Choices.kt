package dev.mobileseg.demo

import android.content.Context
import dev.mobileseg.core.Delegate

private const val DELEGATE = "delegate"

/** What is chosen, beyond the app's end. */
class Choices(
    context: Context,
) {
    private val stored = context.getSharedPreferences("choices", Context.MODE_PRIVATE)

    var delegate: Delegate
        get() = Delegate.entries.firstOrNull { it.id == stored.getString(DELEGATE, null) } ?: Delegate.XNNPACK
        set(value) = stored.edit().putString(DELEGATE, value.id).apply()
}
