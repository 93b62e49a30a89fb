package dev.mobileseg.demo

import android.content.res.AssetManager
import dev.mobileseg.core.DemoError
import dev.mobileseg.core.ModelEntry
import dev.mobileseg.core.parseIndex
import java.io.FileNotFoundException
import java.io.IOException
import java.nio.ByteBuffer
import java.nio.channels.FileChannel

private const val FOLDER = "models"

/** The models that `mobile-seg bundle` put into the app. */
class ModelLibrary(
    private val assets: AssetManager,
) {
    /** None if nothing was bundled. */
    fun list(): List<ModelEntry> =
        try {
            parseIndex(assets.open("$FOLDER/index.json").bufferedReader().use { it.readText() })
        } catch (
            @Suppress("SwallowedException") error: FileNotFoundException, // nothing was bundled
        ) {
            emptyList()
        }

    /**
     * A model's content, mapped where it lies in the package.
     *
     * @throws DemoError if it is not there
     */
    fun read(entry: ModelEntry): ByteBuffer =
        try {
            assets.openFd("$FOLDER/${entry.file}").use { file ->
                file.createInputStream().use { stream ->
                    stream.channel.map(FileChannel.MapMode.READ_ONLY, file.startOffset, file.declaredLength)
                }
            }
        } catch (error: IOException) {
            throw DemoError("${entry.file} is listed but not in the app. Bundle the models and build it again.", error)
        }
}
