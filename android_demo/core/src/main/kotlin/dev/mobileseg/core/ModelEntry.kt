package dev.mobileseg.core

import org.json.JSONException
import org.json.JSONObject

private const val INDEX_VERSION = 1

/** A bundled model: its file below the folder of models, and how it is called in the picker. */
data class ModelEntry(
    val file: String,
    val precision: String,
    val label: String,
)

/**
 * Reads the `index.json` that `mobile-seg bundle` writes.
 *
 * @throws DemoError if it is not one
 */
fun parseIndex(text: String): List<ModelEntry> =
    try {
        val found = JSONObject(text)
        val version = found.opt("format_version")
        if (version != INDEX_VERSION) {
            throw DemoError(
                "The index of the bundled models has format $version, this app reads $INDEX_VERSION. " +
                    "Write it again with `mobile-seg bundle RUN --app android` and build the app again.",
            )
        }
        val rows = found.getJSONArray("models")
        List(rows.length()) { entryOf(rows.getJSONObject(it)) }
    } catch (error: JSONException) {
        throw DemoError(
            "The index of the bundled models cannot be read (${reasonOf(error)}). " +
                "Write it again with `mobile-seg bundle RUN --app android` and build the app again.",
            error,
        )
    }

/** The one to begin with: integers are what this project is about. */
fun preferred(models: List<ModelEntry>): ModelEntry? =
    models.firstOrNull { it.precision == "int8" } ?: models.firstOrNull()

private fun entryOf(row: JSONObject): ModelEntry {
    val manifest = row.getJSONObject("manifest")
    val precision = manifest.getString("precision")
    val parts =
        listOfNotNull(
            precision,
            manifest.getString("model"),
            manifest.getJSONObject("output").getString("kind"),
            manifest
                .getJSONObject("input")
                .getString("dtype")
                .takeIf { it != "uint8" }
                ?.let { "$it input" },
        )
    return ModelEntry(row.getString("file"), precision, parts.joinToString(" · "))
}
